/* What the RP2040's ROM copies from the start of the flash to RAM and calls, if the last of its 64
 * words is the checksum of the others (datasheet, chapter 2.8.1): it makes the flash readable at
 * its address. The Makefile puts the checksum in.
 *
 * Read command 03h, one bit at a time, is understood by every flash, and needs none to be set up;
 * four bits at a time would be some three times as fast, but each maker turns them on in another
 * way. At 133 MHz / 4 the clock is within the 50 MHz that this command may have on a Pico. */
    .syntax unified
    .cpu cortex-m0plus
    .thumb

    .equ FLASH, 0x10000100 /* vectors of the program */
    .equ VECTOR_TABLE, 0xe000ed08
    .equ SSI, 0x18000000 /* registers of the serial flash interface, chapter 4.10.13 */
    .equ CONTROL0, 0x00
    .equ CONTROL1, 0x04
    .equ ENABLE, 0x08
    .equ BAUD_RATE, 0x14
    .equ SPI_CONTROL0, 0xf4

    .section .boot, "ax"
    .thumb_func
boot2:
    ldr r0, =SSI
    movs r1, #0
    str r1, [r0, #ENABLE] /* changes are possible only when it is off */
    movs r2, #4
    str r2, [r0, #BAUD_RATE]
    ldr r2, =(31 << 16 | 3 << 8) /* frames of 32 bits; send a command, then read */
    str r2, [r0, #CONTROL0]
    str r1, [r0, #CONTROL1] /* one frame at a time */
    ldr r2, =(0x03 << 24 | 2 << 8 | 6 << 2) /* the command, of 8 bits, and 24 of address */
    movs r3, #SPI_CONTROL0
    str r2, [r0, r3]
    movs r2, #1
    str r2, [r0, #ENABLE]

    ldr r0, =FLASH
    ldr r1, =VECTOR_TABLE
    str r0, [r1]
    ldmia r0!, {r1, r2}
    msr msp, r1
    bx r2

    .ltorg
    .org 252
    .word 0
