// Runs the image of a Raspberry Pi Pico in the emulator rp2040js, its console at stdin and stdout:
//
//     npm install --prefix ../build rp2040js
//     NODE_PATH=../build/node_modules node tools/rp2040js.cjs firmware.bin
//
// The emulator comes without the chip's ROM, and this does the part of it that matters here: it
// copies the first 256 bytes of the flash to the end of the RAM, and calls them. (That they have
// their checksum is tests/test_boards.py's to see.) Ends when the program has, and then says at
// which clock and baud rate it ran.
const { readFileSync, writeSync } = require('node:fs');
const { ConsoleLogger, LogLevel, Simulator } = require('rp2040js');

const BOOT2 = { size: 256, address: 0x20041f00 };
const RAM = 0x20000000;
const SLICE = 200000; // instructions between looks at stdin

const simulator = new Simulator();
const { rp2040, clock } = simulator;
const uart = rp2040.uart[0];
rp2040.logger = new ConsoleLogger(LogLevel.Error, true);

const image = readFileSync(process.argv[2]);
rp2040.flash.set(image);
rp2040.sram.set(image.subarray(0, BOOT2.size), BOOT2.address - RAM);
rp2040.core.PC = BOOT2.address;

let input = Buffer.alloc(0);
let output = [];
process.stdin.on('data', (bytes) => (input = Buffer.concat([input, bytes])));
uart.onByte = (byte) => output.push(byte);

function run() {
  for (let i = 0; i < SLICE && !rp2040.core.waiting; i++) {
    if (input.length && uart.enabled && !uart.rxFIFO.full) {
      uart.feedByte(input[0]);
      input = input.subarray(1);
    }
    clock.tick((rp2040.core.executeInstruction() * 1e9) / rp2040.clkSys);
  }
  if (output.length) writeSync(1, Buffer.from(output));
  output = [];
  if (!rp2040.core.waiting) return setImmediate(run);
  console.error(`clock ${rp2040.clkSys} baud ${uart.baudRate}`);
  process.exit(0);
}

run();
