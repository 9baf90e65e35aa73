// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <glib.h>
#include <stdbool.h>

#define PT_ID_LEN 26

/* A new ULID (github.com/ulid/spec) in lower case: 48 bits of milliseconds and 80 of
 * randomness in Crockford's base 32, so ids sort by their time. The caller's to free. */
char *pt_id_new(void);
bool pt_id_valid(const char *id);

/* `bytes` random bytes as lower-case hex: a secret, a nonce. The caller's to free. */
char *pt_random_hex(gsize bytes);

/* Lower-case hex of the SHA-256 of `size` bytes. The caller's to free. */
char *pt_sha256_hex(const void *data, gsize size);

/* Compares in a time that depends on the length of `b` alone. NULL is equal to nothing. */
bool pt_secret_equal(const char *a, const char *b);

/* Wipes and frees a secret; NULL is fine. */
void pt_secret_free(char *secret);
