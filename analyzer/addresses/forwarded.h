/* X-Forwarded-For taken apart as nginx does (ngx_parse_addr_port, ngx_inet_addr, ngx_inet6_addr), see forwarded.py,
 * which does the same for columns. Include after ranges.h.
 */
#ifndef LOGSCAN_FORWARDED_H
#define LOGSCAN_FORWARDED_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "ranges.h"

#define ENTRIES 32      /* of a chain that are looked at, from the right */
#define CHARACTERS 2048 /* of it in which they must stand */
#define MAPPED ((uint64_t)0xFFFF << 32)
#define BROADCAST (MAPPED | 0xFFFFFFFF) /* nginx takes it for no address */

typedef struct {
    Address address;
    bool readable;
} Entry;

typedef struct {
    int length; /* of `entries`, from the right */
    bool more;  /* there are others left of these */
    Entry leftmost;
    Entry entries[ENTRIES];
} Chain;

static inline bool is_broadcast(Address address) { return address.high == 0 && address.low == BROADCAST; }

static bool read_ipv4(const uint8_t *p, const uint8_t *stop, uint32_t *number) {
    uint32_t found = 0, octet = 0;
    int dots = 0;
    for (; p < stop; p++) {
        if (*p >= '0' && *p <= '9') {
            octet = octet * 10 + (uint32_t)(*p - '0');
            if (octet > 255) return false;
        } else if (*p == '.' && dots < 3) {
            found = found << 8 | octet;
            octet = 0;
            dots++;
        } else {
            return false;
        }
    }
    *number = found << 8 | octet;
    return dots == 3 && *number != UINT32_MAX;
}

static inline int hex_digit(uint8_t byte) {
    if (byte >= '0' && byte <= '9') return byte - '0';
    byte |= 0x20;
    return byte >= 'a' && byte <= 'f' ? byte - 'a' + 10 : -1;
}

static bool read_ipv6(const uint8_t *p, const uint8_t *stop, Address *address) {
    uint16_t words[8];
    int n = 0, gap = -1, nibbles = 0;
    uint32_t word = 0, dotted;
    const uint8_t *group = NULL; /* behind the last colon */
    if (p < stop && *p == ':') p++;
    while (p < stop) {
        uint8_t byte = *p++;
        if (byte == ':') {
            group = p;
            if (nibbles == 0) {
                if (gap >= 0) return false;
                gap = n;
                continue;
            }
            words[n++] = (uint16_t)word;
            if (n == 8) return false;
            nibbles = 0;
            word = 0;
            continue;
        }
        if (byte == '.' && nibbles) {
            if (n > 6 || group == NULL || !read_ipv4(group, stop, &dotted)) return false;
            words[n++] = (uint16_t)(dotted >> 16);
            word = dotted & 0xFFFF;
            break;
        }
        int digit = hex_digit(byte);
        if (++nibbles > 4 || digit < 0) return false;
        word = word << 4 | (uint32_t)digit;
    }
    if (nibbles == 0 && gap < 0) return false;
    words[n++] = (uint16_t)word;
    if ((n < 8) == (gap < 0)) return false;
    uint64_t halves[2] = {0, 0};
    for (int i = 0; i < n; i++) {
        int place = gap >= 0 && i >= gap ? i + 8 - n : i;
        halves[place / 4] |= (uint64_t)words[i] << 16 * (3 - place % 4);
    }
    *address = (Address){.high = halves[0], .low = halves[1]};
    return true;
}

static bool read_either(const uint8_t *p, const uint8_t *stop, Address *address) {
    uint32_t number;
    if (!read_ipv4(p, stop, &number)) return read_ipv6(p, stop, address);
    *address = (Address){.low = MAPPED | number};
    return true;
}

/* An address, or one and a port. */
static Entry read_entry(const uint8_t *p, const uint8_t *stop) {
    Entry entry = {0};
    entry.readable = read_either(p, stop, &entry.address);
    if (entry.readable || p == stop) return entry;
    bool bracketed = *p == '[';
    const uint8_t *end = memchr(p, bracketed ? ']' : ':', (size_t)(stop - p)), *digit = end;
    if (end == NULL || (bracketed && (++digit == stop || *digit != ':'))) return entry;
    uint32_t port = 0;
    for (digit++; digit < stop; digit++) {
        if (*digit < '0' || *digit > '9' || (port = port * 10 + (uint32_t)(*digit - '0')) > 65535) return entry;
    }
    entry.readable = port && read_either(p + bracketed, end, &entry.address);
    return entry;
}

static inline bool is_separator(uint8_t byte) { return byte == ' ' || byte == ','; }

/* Bytes that continue a character of UTF-8 are none of their own. */
static inline bool is_first_byte(uint8_t byte) { return (byte & 0xC0) != 0x80; }

/* Take a chain apart as it was logged; what forwarded.py says of its first and last character and its limits holds. */
static void take_apart(const uint8_t *text, size_t size, Chain *chain) {
    chain->length = 0;
    chain->more = false;
    chain->leftmost.readable = false;
    if (size <= 1) return; /* no address; most often it is the `-` for none */
    bool odd_first = is_separator(*text), empty_last = text[size - 1] == ' ';
    const uint8_t *stop = text + size, *limit = text, *end;
    if (empty_last)
        chain->entries[chain->length++].readable = false;
    else
        while (stop - 1 > text && is_separator(stop[-1])) stop--;
    bool cut = (size_t)(stop - text) + empty_last > CHARACTERS;
    if (cut) {
        limit = stop;
        for (size_t n = empty_last; limit > text && n < CHARACTERS;) n += is_first_byte(*--limit);
    }
    chain->more = cut;
    for (const uint8_t *at = stop;;) {
        while (at - 1 > text && at > limit && is_separator(at[-1])) at--;
        if (at == limit) break;
        for (end = at; at > limit && (at - 1 == text || !is_separator(at[-1]));) at--;
        if (cut && at == limit && chain->length) break; /* what the cut left of an entry, unless there is no other */
        if (chain->length == ENTRIES) {
            chain->more = true;
            break;
        }
        chain->entries[chain->length++] = at == text && odd_first ? (Entry){0} : read_entry(at, end);
    }
    if (!chain->more) {
        chain->leftmost = chain->entries[chain->length - 1];
    } else if (!odd_first) {
        size_t n = 0;
        for (end = text; end < stop && !is_separator(*end); end++)
            if (is_first_byte(*end) && ++n > CHARACTERS) break;
        chain->leftmost = read_entry(text, end);
    }
}

#endif
