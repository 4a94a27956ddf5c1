'use strict';

// µ-law, as ITU-T G.711 has it, by table in both directions.

const BIAS = 0x84;

const SAMPLES = new Int16Array(256);
for (let code = 0; code < 256; code++) {
  const bits = ~code & 0xff;
  const magnitude = (((bits & 0x0f) << 3) + BIAS) << ((bits & 0x70) >> 4);
  SAMPLES[code] = bits & 0x80 ? BIAS - magnitude : magnitude - BIAS;
}

const CODES = new Uint8Array(65536);
for (let sample = -32768; sample < 32768; sample++) {
  const sign = sample < 0 ? 0x80 : 0;
  const magnitude = Math.min(Math.abs(sample), 32635) + BIAS;
  const exponent = 24 - Math.clz32(magnitude);
  const mantissa = (magnitude >> (exponent + 3)) & 0x0f;
  CODES[sample & 0xffff] = ~(sign | (exponent << 4) | mantissa) & 0xff;
}

/** µ-law codes to 16-bit little-endian samples. */
function decode(codes) {
  const samples = Buffer.allocUnsafe(codes.length * 2);
  for (let n = 0; n < codes.length; n++) samples.writeInt16LE(SAMPLES[codes[n]], n * 2);
  return samples;
}

/** 16-bit little-endian samples to µ-law codes. */
function encode(samples) {
  const codes = Buffer.allocUnsafe(samples.length >> 1);
  for (let n = 0; n < codes.length; n++) codes[n] = CODES[samples.readUInt16LE(n * 2)];
  return codes;
}

module.exports = { decode, encode };
