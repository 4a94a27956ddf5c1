'use strict';

// Joins each of Twilio's media streams to an agent that speaks raw samples: no more than that, and
// written as one would for production. Listens on LISTEN_PORT, and joins AGENT_URL for each stream.

const { createServer } = require('node:http');
const { WebSocket, WebSocketServer } = require('ws');
const g711 = require('./g711');

const { LISTEN_PORT, AGENT_URL } = process.env;
const OPTIONS = { perMessageDeflate: false, maxPayload: 1024 * 1024 };

// What a phone says before its agent is there; one second, then the oldest goes.
const MAX_WAITING = 50;

function bridge(phone) {
  const agent = new WebSocket(AGENT_URL, OPTIONS);
  const waiting = [];
  let streamSid = null;

  phone.on('message', (data) => {
    const message = JSON.parse(data);
    switch (message.event) {
      case 'media': {
        const samples = g711.decode(Buffer.from(message.media.payload, 'base64'));
        if (agent.readyState === WebSocket.OPEN) {
          agent.send(samples);
        } else {
          if (waiting.length === MAX_WAITING) waiting.shift();
          waiting.push(samples);
        }
        break;
      }
      case 'start':
        streamSid = message.start.streamSid;
        break;
      case 'stop':
        agent.close();
        break;
    }
  });

  agent.on('open', () => {
    for (const samples of waiting.splice(0)) agent.send(samples);
  });

  agent.on('message', (data, isBinary) => {
    if (!isBinary || streamSid === null || phone.readyState !== WebSocket.OPEN) return;
    const payload = g711.encode(data).toString('base64');
    phone.send(JSON.stringify({ event: 'media', streamSid, media: { payload } }));
  });

  phone.on('close', () => agent.close());
  agent.on('close', () => phone.close());
  phone.on('error', () => agent.terminate());
  agent.on('error', () => phone.terminate());
}

// Node and ws turn off Nagle's algorithm on both sockets by themselves; noDelay says so.
const server = createServer({ noDelay: true });
new WebSocketServer({ server, path: '/media', ...OPTIONS }).on('connection', bridge);
server.listen(Number(LISTEN_PORT), '127.0.0.1');
