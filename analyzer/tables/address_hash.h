/* A hash of addresses whose collisions nobody can choose: who writes a log with an IPv6 network of his own chooses
 * addresses, and would make every look-up slow. The seed is random for each table.
 */
#ifndef LOGSCAN_ADDRESS_HASH_H
#define LOGSCAN_ADDRESS_HASH_H

#include <stdint.h>

static inline uint64_t fold_multiply(uint64_t a, uint64_t b) {
#if defined(__SIZEOF_INT128__)
    unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
#else
    uint64_t low = (a & 0xFFFFFFFF) * (b & 0xFFFFFFFF), high = (a >> 32) * (b >> 32);
    uint64_t cross = (a >> 32) * (b & 0xFFFFFFFF) ^ (a & 0xFFFFFFFF) * (b >> 32);
    return low ^ high ^ (cross << 32 | cross >> 32);
#endif
}

static inline uint64_t hash_address(const uint64_t seed[2], uint64_t high, uint64_t low) {
    uint64_t first = fold_multiply(high ^ seed[0], 0x9E3779B97F4A7C15ULL ^ seed[1]);
    return fold_multiply(low ^ first, seed[0] ^ 0xC2B2AE3D27D4EB4FULL) ^ first;
}

#endif
