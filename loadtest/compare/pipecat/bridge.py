"""Joins each of Twilio's media streams to an agent that speaks raw samples, with pipecat.

Listens on LISTEN_PORT, and joins AGENT_URL for each stream. The pipeline is the shortest that does
it, with the framework's own transport and serializer.
"""

import asyncio
import json
import os
import sys

import uvicorn
import websockets
from fastapi import FastAPI, WebSocket
from loguru import logger
from pipecat.frames.frames import CancelFrame, EndFrame, Frame, InputAudioRawFrame, OutputAudioRawFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.serializers.twilio import TwilioFrameSerializer
from pipecat.transports.websocket.fastapi import FastAPIWebsocketParams, FastAPIWebsocketTransport
from pipecat.workers.runner import WorkerRunner

RATE_HZ = 8000

logger.remove()
logger.add(sys.stderr, level="ERROR")
app = FastAPI()


class Agent(FrameProcessor):
    """Takes what the phone says to the agent, and what the agent says to the phone."""

    def __init__(self, socket):
        super().__init__()
        self._socket = socket
        self._listening = None

    async def process_frame(self, frame: Frame, direction: FrameDirection):
        await super().process_frame(frame, direction)
        if isinstance(frame, InputAudioRawFrame):
            if self._listening is None:
                self._listening = self.create_task(self._listen())
            await self._socket.send(frame.audio)
            return
        if isinstance(frame, (EndFrame, CancelFrame)):
            await self._socket.close()
        await self.push_frame(frame, direction)

    async def _listen(self):
        async for samples in self._socket:
            await self.push_frame(
                OutputAudioRawFrame(audio=samples, sample_rate=RATE_HZ, num_channels=1)
            )


@app.websocket("/media")
async def media(phone: WebSocket):
    await phone.accept()
    await phone.receive_text()  # connected
    start = json.loads(await phone.receive_text())["start"]
    serializer = TwilioFrameSerializer(
        stream_sid=start["streamSid"],
        params=TwilioFrameSerializer.InputParams(auto_hang_up=False),
    )
    transport = FastAPIWebsocketTransport(
        websocket=phone,
        params=FastAPIWebsocketParams(
            audio_in_enabled=True,
            audio_out_enabled=True,
            # One frame of Twilio's, not the framework's usual two.
            audio_out_10ms_chunks=2,
            serializer=serializer,
        ),
    )
    async with websockets.connect(os.environ["AGENT_URL"], compression=None) as socket:
        worker = PipelineWorker(
            Pipeline([transport.input(), Agent(socket), transport.output()]),
            params=PipelineParams(
                audio_in_sample_rate=RATE_HZ, audio_out_sample_rate=RATE_HZ
            ),
        )

        @transport.event_handler("on_client_disconnected")
        async def hang_up(_transport, _client):
            await worker.cancel()

        runner = WorkerRunner(handle_sigint=False)
        await runner.add_workers(worker)
        await runner.run()


if __name__ == "__main__":
    uvicorn.run(
        app, host="127.0.0.1", port=int(os.environ["LISTEN_PORT"]), log_level="warning", loop="auto"
    )
