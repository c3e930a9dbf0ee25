/* On the host: copies the 256 bytes with which an RP2040's flash begins from stdin to stdout, the
 * last four replaced by the checksum of the others: the CRC-32 that starts at all ones and reflects
 * and inverts nothing (RP2040 datasheet, chapter 2.8.1.3.1). */
#include <stdint.h>
#include <stdio.h>

#define SIZE 256
#define CHECKED 252
#define POLYNOMIAL 0x04c11db7u

static uint32_t crc32(const uint8_t *bytes, int count) {
    uint32_t crc = UINT32_MAX;
    for (int i = 0; i < count; i++) {
        crc ^= (uint32_t)bytes[i] << 24;
        for (int bit = 0; bit < 8; bit++)
            crc = crc << 1 ^ (crc >> 31 ? POLYNOMIAL : 0);
    }
    return crc;
}

int main(void) {
    uint8_t bytes[SIZE + 1];
    if (fread(bytes, 1, sizeof bytes, stdin) != SIZE) {
        fprintf(stderr, "boot2_checksum: not %d bytes\n", SIZE);
        return 1;
    }
    const uint32_t crc = crc32(bytes, CHECKED);
    for (int i = 0; i < 4; i++)
        bytes[CHECKED + i] = (uint8_t)(crc >> 8 * i);
    return fwrite(bytes, 1, SIZE, stdout) != SIZE;
}
