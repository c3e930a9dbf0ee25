"""Images for real boards, run from their reset: the bytes of the host, at the clock they promise.

Unicorn emulates the processors alone. What start-up waits for and what the console does is played
here, by the reference manuals: registers that keep what is written, but for those that answer.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest
import unicorn
import unicorn.arm_const
import unicorn.riscv_const

from tests.boards import BOARDS, ESP32C3_CODE, Image, built
from tests.test_firmware import SENTENCES, SMALL, Host

Registers = dict[int, int]
LINES = [str(text).encode()[:250] for text in SENTENCES[:2]]
PERIPHERALS = [(0x4000_0000, 0x200_0000), (0x5000_0000, 0x1100_0000), (0xE000_0000, 0x10_0000)]
CYCLE_COUNT = 0xE000_1004
TIMEOUT = 120_000_000  # µs


@dataclass(frozen=True)
class Uart:
    """Addresses, and the status of a transmitter that is always free."""

    status: int
    received: int
    transmit: int
    ready: Callable[[bool], int]  # of whether a byte was received


@dataclass(frozen=True)
class Chip:
    """What a chip's registers answer, and what their contents mean.

    Attributes:
        processor: Unicorn's name of it.
        answers: values of registers that are not what was written to them.
        at_reset: registers that do not start at zero.
        locks: register, by which other with which value it lets itself be written.
        clock: the processor's clock in Hz that the registers stand for.
        baud: the console's rate.
        wait_states: register and value that must be there before that register and value.
    """

    processor: int
    uart: Uart
    clock: Callable[[Registers], float]
    baud: Callable[[Registers], float]
    answers: dict[int, Callable[[Registers], int]] = field(default_factory=dict)
    at_reset: Registers = field(default_factory=dict)
    locks: dict[int, tuple[int, int]] = field(default_factory=dict)
    wait_states: tuple[tuple[int, int], tuple[int, int]] | None = None


def stm32_usart(base: int) -> Uart:
    def ready(full: bool) -> int:
        return 1 << 7 | full << 5

    return Uart(base + 0x1C, base + 0x24, base + 0x28, ready)


def stm32f4(processor: int, uart: Uart, baud_rate: int, waits: int) -> Chip:
    """STM32F4 and F7, RM0390 and RM0385: oscillator of 16 MHz, PLL, over-drive."""
    rcc, power, flash = 0x4002_3800, 0x4000_7000, 0x4002_3C00

    def clock(r: Registers) -> float:
        pll = r[rcc + 4]
        assert r[rcc + 8] & 3 == 2 and not pll >> 22 & 1
        return 16e6 / (pll & 63) * (pll >> 6 & 511) / (2 * (pll >> 16 & 3) + 2)

    def baud(r: Registers) -> float:
        return clock(r) / 2 ** ((r[rcc + 8] >> 10 & 7) - 3) / r[baud_rate]

    answers = {
        rcc: lambda r: r[rcc] | 3 | (r[rcc] >> 24 & 1) << 25,
        rcc + 8: lambda r: r[rcc + 8] & ~12 | (r[rcc + 8] & 3) << 2,
        power + 4: lambda r: r[power] & 3 << 16 if r[rcc + 0x40] >> 28 & 1 else 0,
    }
    wait_states = ((flash, 15 & waits), (rcc + 8, 2))
    reset = {rcc + 4: 0x2400_3010, power: 0xC000}
    return Chip(processor, uart, clock, baud, answers, reset, wait_states=wait_states)


def stm32h743() -> Chip:
    """RM0433: oscillator of 64 MHz, PLL1; memories at half the clock, APB1 at a quarter."""
    rcc, power, uart = 0x5802_4400, 0x5802_4800, 0x4000_4800

    def clock(r: Registers) -> float:
        assert r[rcc + 0x10] & 7 == 3 and r[rcc + 0x28] & 3 == 0
        assert r[power + 0x18] >> 14 & 3 == 3, "the voltage that 400 MHz need"
        divisors = r[rcc + 0x30]
        return (
            64e6 / (r[rcc + 0x28] >> 4 & 63) * ((divisors & 511) + 1) / ((divisors >> 9 & 127) + 1)
        )

    def baud(r: Registers) -> float:
        assert r[rcc + 0x18] & 15 == 8 and r[rcc + 0x1C] >> 4 & 7 == 4
        return clock(r) / 4 / r[uart + 0x0C]

    answers = {
        rcc: lambda r: r[rcc] | 5 | (r[rcc] >> 24 & 1) << 25,
        rcc + 0x10: lambda r: r[rcc + 0x10] & ~0x38 | (r[rcc + 0x10] & 7) << 3,
        power + 0x04: lambda r: (r[power + 0x0C] & 7 == 2) << 13,
        power + 0x18: lambda r: r[power + 0x18] | 1 << 13,
        0xE000_ED80: lambda r: 127 << 13 | 3 << 3 | 1,  # data cache of 128 sets of 4
    }
    reset = {rcc + 0x28: 0x0202_0200, power + 0x0C: 6, power + 0x18: 0x4000}
    wait_states = ((0x5200_2000, 2), (rcc + 0x10, 3))
    m7 = unicorn.arm_const.UC_CPU_ARM_CORTEX_M7
    return Chip(m7, stm32_usart(uart), clock, baud, answers, reset, wait_states=wait_states)


def nrf52840() -> Chip:
    uart = 0x4000_2000

    def baud(r: Registers) -> float:
        assert (r[uart + 0x50C], r[uart + 0x514]) == (6, 8)
        return r[uart + 0x524] * 16e6 / 2**32

    answers: dict[int, Callable[[Registers], int]] = {
        0x4000_0100: lambda r: r[0x4000_0000] & 1,  # the crystal
        uart + 0x11C: lambda r: 1,
    }
    m4 = unicorn.arm_const.UC_CPU_ARM_CORTEX_M4
    console = Uart(uart + 0x108, uart + 0x518, uart + 0x51C, int)
    return Chip(m4, console, lambda r: 64e6, baud, answers)


def rp2350() -> Chip:
    resets, clocks, crystal, pll = 0x4002_0000, 0x4001_0000, 0x4004_8000, 0x4005_0000
    uart, all_bits = 0x4007_0000, 0x1FFF_FFFF

    def clock(r: Registers) -> float:
        assert r[clocks + 0x3C] == 1 and r[clocks + 0x40] == 1 << 16
        post = r[pll + 0x0C]
        assert 750 <= 12 * r[pll + 0x08] <= 1600
        return 12e6 * r[pll + 0x08] / (post >> 16 & 7) / (post >> 12 & 7)

    def baud(r: Registers) -> float:
        assert not r[resets] & (1 << 26 | 1 << 9 | 1 << 6)
        return clock(r) / 16 / (r[uart + 0x24] + r[uart + 0x28] / 64)

    def ready(full: bool) -> int:
        return 0 if full else 1 << 4

    answers = {
        resets + 8: lambda r: ~r[resets] & all_bits,
        crystal + 4: lambda r: (r[crystal] == 0xFABAA0) << 31,
        clocks + 0x38: lambda r: 1 << (r[clocks + 0x30] & 3),
        clocks + 0x44: lambda r: 1 << (r[clocks + 0x3C] & 1),
        pll: lambda r: r[pll] | (not r[pll + 4] & 0x21 and not r[resets] >> 14 & 1) << 31,
    }
    m33 = unicorn.arm_const.UC_CPU_ARM_CORTEX_M33
    console = Uart(uart + 0x18, uart, uart, ready)
    return Chip(m33, console, clock, baud, answers, {resets: all_bits, pll + 4: 0x2D})


def esp32c3() -> Chip:
    system, rtc, groups = 0x600C_0000, 0x6000_8000, (0x6001_F000, 0x6002_0000)

    def clock(r: Registers) -> float:
        assert r[rtc + 0x90] >> 31 == 0 and r[rtc + 0xAC] >> 31 == 1, "its watchdogs bite"
        assert all(r[group + 0x48] >> 31 == 0 for group in groups), "its watchdogs bite"
        assert r[system + 0x58] >> 10 & 3 == 1 and r[system + 0x08] & 7 == 5
        return 160e6

    key = 0x50D8_3AA1
    locks = {group + 0x48: (group + 0x64, key) for group in groups}
    locks |= {rtc + 0x90: (rtc + 0xA8, key), rtc + 0xAC: (rtc + 0xB0, 0x8F1D_312A)}
    reset = {rtc + 0x90: 1 << 31} | {group + 0x48: 1 << 31 for group in groups}
    rv32 = unicorn.riscv_const.UC_CPU_RISCV32_ANY
    console = Uart(0x6000_001C, 0x6000_0000, 0x6000_0000, int)
    return Chip(rv32, console, clock, lambda r: 115200, {}, reset, locks)


F446_UART = Uart(0x4000_4400, 0x4000_4404, 0x4000_4404, stm32_usart(0).ready)
CHIPS = {
    "nucleo-f446re": stm32f4(
        unicorn.arm_const.UC_CPU_ARM_CORTEX_M4, F446_UART, 0x4000_4408, waits=5
    ),
    "nucleo-f746zg": stm32f4(
        unicorn.arm_const.UC_CPU_ARM_CORTEX_M7, stm32_usart(0x4000_4800), 0x4000_480C, waits=7
    ),
    "nucleo-h743zi": stm32h743(),
    "nrf52840-dk": nrf52840(),
    "pico2": rp2350(),
    "esp32-c3": esp32c3(),
}
each_board = pytest.mark.parametrize("board", CHIPS)


class Run:
    """An app from reset to its end, with bytes for its console."""

    def __init__(self, chip: Chip, image: Image, console: bytes) -> None:
        self.chip, self.console, self.printed = chip, list(console), bytearray()
        self.registers: Registers = {}
        self.writes: list[tuple[int, int]] = []
        self.cycles = 0
        is_arm = "vectors" in image.symbols
        self.machine = (
            unicorn.Uc(unicorn.UC_ARCH_ARM, unicorn.UC_MODE_THUMB | unicorn.UC_MODE_MCLASS)
            if is_arm
            else unicorn.Uc(unicorn.UC_ARCH_RISCV, unicorn.UC_MODE_RISCV32)
        )
        self.machine.ctl_set_cpu_model(chip.processor)
        for region in image.maps:
            self.machine.mem_map(region.begin, region.size, unicorn.UC_PROT_READ | 4)
            self.machine.mem_write(region.begin, image.bytes)
        self.machine.mem_map(image.ram.begin, image.ram.size, unicorn.UC_PROT_READ | 2)
        for begin, size in PERIPHERALS:
            self._peripherals(begin, size)
        end = image.symbols["board_exit"] & ~1
        self.machine.hook_add(
            unicorn.UC_HOOK_BLOCK, lambda machine, *_: machine.emu_stop(), begin=end, end=end
        )
        if is_arm:
            stack, entry = struct.unpack_from("<2I", image.bytes)
            self.machine.reg_write(unicorn.arm_const.UC_ARM_REG_SP, stack)
        else:
            entry = image.entry
            self._riscv(image)
        self.machine.emu_start(entry, 0, timeout=TIMEOUT)

    def _peripherals(self, begin: int, size: int) -> None:
        self.machine.mmio_map(
            begin,
            size,
            lambda _machine, offset, _size, _data: self._read(begin + offset),
            None,
            lambda _machine, offset, _size, value, _data: self._write(begin + offset, value),
            None,
        )

    def _read(self, address: int) -> int:
        uart = self.chip.uart
        if address == CYCLE_COUNT:
            self.cycles += 1
            return self.cycles
        if address == uart.status:
            return uart.ready(bool(self.console))
        if address == uart.received:
            return self.console.pop(0)
        registers = _Reset(self.registers, self.chip.at_reset)
        answer = self.chip.answers.get(address)
        return answer(registers) if answer else registers[address]

    def _write(self, address: int, value: int) -> None:
        lock, key = self.chip.locks.get(address, (0, 0))
        if self.registers.get(lock, 0) != key:
            return
        self.registers[address] = value
        self.writes.append((address, value))
        if address == self.chip.uart.transmit:
            self.printed.append(value & 255)

    def _riscv(self, image: Image) -> None:
        """The counter that Unicorn does not have, and the map that data must not be read from."""
        text = image.bytes[: image.symbols["model_file"] & 0xFF_FFFF]
        for at in range(0, len(text) - 3, 2):
            word = int.from_bytes(text[at : at + 4], "little")
            if word & 0x7F == 0x73 and word >> 20 in (0x7E0, 0x7E1, 0x7E2):
                address = ESP32C3_CODE + at
                self.machine.hook_add(
                    unicorn.UC_HOOK_CODE, self._counter, word, begin=address, end=address
                )
        self.machine.hook_add(
            unicorn.UC_HOOK_MEM_READ,
            lambda *access: pytest.fail(f"data read from {access[2]:#x}"),
            begin=ESP32C3_CODE,
            end=ESP32C3_CODE + image.flash.size - 1,
        )

    def _counter(self, machine: unicorn.Uc, address: int, _size: int, word: int) -> None:
        if target := word >> 7 & 31:
            self.cycles += 1
            machine.reg_write(unicorn.riscv_const.UC_RISCV_REG_X0 + target, self.cycles)
        machine.reg_write(unicorn.riscv_const.UC_RISCV_REG_PC, address + 4)


class _Reset(dict[int, int]):
    """Registers, with their values before anything is written."""

    def __init__(self, written: Registers, at_reset: Registers) -> None:
        super().__init__(at_reset | written)

    def __missing__(self, address: int) -> int:
        return 0


@functools.cache
def run(board: str) -> Run:
    return Run(CHIPS[board], built(board, "bench"), b"\n".join([*LINES, b"\x04"]))


@each_board
def test_a_board_gives_the_bytes_of_the_host_from_its_reset_on(board: str) -> None:
    lines = bytes(run(board).printed).splitlines()
    logits = [line.split()[1:] for line in lines if line.startswith(b"logits")]
    host = Host(SMALL, 64)
    assert logits == [
        [b"%08x" % bits for bits in host.logits(line).view(np.uint32)] for line in LINES
    ]
    assert lines[-1] == b"stack_size 4096"


@each_board
def test_the_registers_mean_the_clock_that_board_toml_says(board: str) -> None:
    chip, registers = CHIPS[board], _Reset(run(board).registers, CHIPS[board].at_reset)
    assert chip.clock(registers) == int(BOARDS[board]["core_hz"])
    assert abs(chip.baud(registers) / 115200 - 1) < 0.005


@pytest.mark.parametrize("board", [name for name, chip in CHIPS.items() if chip.wait_states])
def test_flash_is_told_to_wait_before_the_clock_is_fast(board: str) -> None:
    order = CHIPS[board].wait_states
    assert order
    (flash, waits), (switch, fast) = order
    writes = run(board).writes
    told = [i for i, (at, value) in enumerate(writes) if at == flash and value & 15 == waits]
    faster = [i for i, (at, value) in enumerate(writes) if at == switch and value & 3 == fast]
    assert told[0] < faster[0]
