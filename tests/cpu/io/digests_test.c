/* digests_test.c - MD5 and SHA-256 of known texts, in pieces of any length, and of files. */
#include "io/files/crc32.h"
#include "io/files/file_digest.h"
#include "io/files/md5.h"
#include "io/files/sha256.h"
#include "tests/support/check.h"
#include "tests/support/golden.h"

/* The test suite of RFC 1321, appendix A.5. */
Test(digests, md5_of_the_texts_of_its_rfc) {
    static const char *const cases[][2] = {
        {"", "d41d8cd98f00b204e9800998ecf8427e"},
        {"a", "0cc175b9c0f1b6a831c399e269772661"},
        {"abc", "900150983cd24fb0d6963f7d28e17f72"},
        {"message digest", "f96b697d7cb7938d525a2f31aaf161d0"},
        {"abcdefghijklmnopqrstuvwxyz", "c3fcd3d76192e4007dfb496cca67e13b"},
        {"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
         "d174ab98d277d9f5a5611c2c9f419d9f"},
        {"12345678901234567890123456789012345678901234567890123456789012345678901234567890",
         "57edf4a22be3c955ac49da2e2107b67a"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char hex[MD5_HEX + 1];
        md5_hex(hex, cases[i][0], (int64_t)strlen(cases[i][0]));
        cr_expect_str_eq(hex, cases[i][1], "%s", cases[i][0]);
    }
}

/* FIPS 180-2, appendix B. */
Test(digests, sha256_of_the_texts_of_its_standard) {
    static const char *const cases[][2] = {
        {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
         "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char hex[SHA256_HEX + 1];
        sha256_hex(hex, cases[i][0], (int64_t)strlen(cases[i][0]));
        cr_expect_str_eq(hex, cases[i][1], "%s", cases[i][0]);
    }
}

/* Every length up to three blocks, cut at every place, has the digest of the whole. */
Test(digests, pieces_make_the_whole) {
    enum { MOST = 193 };
    uint8_t data[MOST];
    for (int i = 0; i < MOST; i++) data[i] = (uint8_t)(i * 37 + 11);
    for (int n = 0; n <= MOST; n++) {
        char md5[MD5_HEX + 1], sha256[SHA256_HEX + 1], hex[SHA256_HEX + 1];
        md5_hex(md5, data, n);
        sha256_hex(sha256, data, n);
        for (int cut = 0; cut <= n; cut += 1 + cut / 9) {
            Md5 m;
            Sha256 s;
            md5_init(&m), sha256_init(&s);
            md5_update(&m, data, cut), sha256_update(&s, data, cut);
            md5_update(&m, data + cut, n - cut), sha256_update(&s, data + cut, n - cut);
            md5_finish(&m, hex);
            cr_expect_str_eq(hex, md5, "MD5 of %d bytes cut at %d", n, cut);
            sha256_finish(&s, hex);
            cr_expect_str_eq(hex, sha256, "SHA-256 of %d bytes cut at %d", n, cut);
        }
    }
}

static bool stop_at_once(void *context, int64_t bytes) {
    *(int64_t *)context = bytes;
    return false;
}

/* Lengths around the blocks of 64 bytes that are folded at once, at any alignment, whole and in two pieces. */
Test(digests, crc32_is_the_remainder_bit_by_bit) {
    uint8_t bytes[512];
    for (int i = 0; i < 512; i++) bytes[i] = (uint8_t)((uint32_t)i * 2654435761u >> 13);
    for (int offset = 0; offset < 3; offset++)
        for (int n = 0; n <= 500; n++) {
            const uint8_t *from = bytes + offset;
            const uint32_t expected = crc32_of(from, (size_t)n);
            cr_assert(crc32_update(0, from, n) == expected, "%d bytes", n);
            cr_assert(crc32_update(crc32_update(0, from, n / 3), from + n / 3, n - n / 3) ==
                          expected,
                      "%d bytes in two pieces", n);
        }
}

Test(digests, files_are_read_in_pieces) {
    enum { BYTES = (1 << 20) + 77 };
    char *folder = temporary_folder(), *path = format_text("%s/x", folder);
    char hex[DIGEST_HEX + 1], expected[DIGEST_HEX + 1];
    uint8_t *data = malloc(BYTES);
    int64_t told = 0;
    DigestKind kind;
    Error err = {""};
    for (int i = 0; i < BYTES; i++) data[i] = (uint8_t)(i ^ i >> 8);
    write_bytes(path, data, BYTES);
    ASSERT_OK(file_digest(hex, DIGEST_MD5, path, NULL, NULL, &err), err);
    md5_hex(expected, data, BYTES);
    cr_expect_str_eq(hex, expected);
    cr_expect(digest_kind_of(&kind, hex) && kind == DIGEST_MD5);
    ASSERT_OK(file_digest(hex, DIGEST_SHA256, path, NULL, NULL, &err), err);
    sha256_hex(expected, data, BYTES);
    cr_expect_str_eq(hex, expected);
    cr_expect(digest_kind_of(&kind, hex) && kind == DIGEST_SHA256);
    cr_expect(file_digest(hex, DIGEST_MD5, path, stop_at_once, &told, &err) == ERR_STOPPED);
    cr_expect(told == 1 << 20 && !*hex);
    cr_expect(file_digest(hex, DIGEST_MD5, folder, NULL, NULL, &err) == ERR_IO);
    cr_expect(file_digest(hex, DIGEST_MD5, "/nowhere", NULL, NULL, &err) == ERR_IO);
    cr_expect(!digest_kind_of(&kind, "abc") && !digest_kind_of(&kind, "") &&
              !digest_kind_of(&kind, "0123456789abcdef0123456789abcdeg"));
    free(data), free(path);
    remove_folder(folder);
}
