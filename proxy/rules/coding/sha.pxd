# SHA-1 and the SHA-2 family (FIPS 180-4), and codes of authentication with them (RFC 2104). Pure.

from libc.stddef cimport size_t
from libc.stdint cimport uint32_t, uint64_t, uint8_t
from libc.string cimport memcpy, memset

cdef extern from * nogil:
    """
    #include <stdint.h>
    /* the fractions of the cube roots of the first 80 primes, and of the square roots of 16:
       SHA-256 has their upper halves, SHA-224 the lower ones of the last 8 */
    static const uint64_t sha_cube_roots[80] __attribute__((unused)) = {
        0x428A2F98D728AE22u, 0x7137449123EF65CDu, 0xB5C0FBCFEC4D3B2Fu, 0xE9B5DBA58189DBBCu,
        0x3956C25BF348B538u, 0x59F111F1B605D019u, 0x923F82A4AF194F9Bu, 0xAB1C5ED5DA6D8118u,
        0xD807AA98A3030242u, 0x12835B0145706FBEu, 0x243185BE4EE4B28Cu, 0x550C7DC3D5FFB4E2u,
        0x72BE5D74F27B896Fu, 0x80DEB1FE3B1696B1u, 0x9BDC06A725C71235u, 0xC19BF174CF692694u,
        0xE49B69C19EF14AD2u, 0xEFBE4786384F25E3u, 0x0FC19DC68B8CD5B5u, 0x240CA1CC77AC9C65u,
        0x2DE92C6F592B0275u, 0x4A7484AA6EA6E483u, 0x5CB0A9DCBD41FBD4u, 0x76F988DA831153B5u,
        0x983E5152EE66DFABu, 0xA831C66D2DB43210u, 0xB00327C898FB213Fu, 0xBF597FC7BEEF0EE4u,
        0xC6E00BF33DA88FC2u, 0xD5A79147930AA725u, 0x06CA6351E003826Fu, 0x142929670A0E6E70u,
        0x27B70A8546D22FFCu, 0x2E1B21385C26C926u, 0x4D2C6DFC5AC42AEDu, 0x53380D139D95B3DFu,
        0x650A73548BAF63DEu, 0x766A0ABB3C77B2A8u, 0x81C2C92E47EDAEE6u, 0x92722C851482353Bu,
        0xA2BFE8A14CF10364u, 0xA81A664BBC423001u, 0xC24B8B70D0F89791u, 0xC76C51A30654BE30u,
        0xD192E819D6EF5218u, 0xD69906245565A910u, 0xF40E35855771202Au, 0x106AA07032BBD1B8u,
        0x19A4C116B8D2D0C8u, 0x1E376C085141AB53u, 0x2748774CDF8EEB99u, 0x34B0BCB5E19B48A8u,
        0x391C0CB3C5C95A63u, 0x4ED8AA4AE3418ACBu, 0x5B9CCA4F7763E373u, 0x682E6FF3D6B2B8A3u,
        0x748F82EE5DEFB2FCu, 0x78A5636F43172F60u, 0x84C87814A1F0AB72u, 0x8CC702081A6439ECu,
        0x90BEFFFA23631E28u, 0xA4506CEBDE82BDE9u, 0xBEF9A3F7B2C67915u, 0xC67178F2E372532Bu,
        0xCA273ECEEA26619Cu, 0xD186B8C721C0C207u, 0xEADA7DD6CDE0EB1Eu, 0xF57D4F7FEE6ED178u,
        0x06F067AA72176FBAu, 0x0A637DC5A2C898A6u, 0x113F9804BEF90DAEu, 0x1B710B35131C471Bu,
        0x28DB77F523047D84u, 0x32CAAB7B40C72493u, 0x3C9EBE0A15C9BEBCu, 0x431D67C49C100D4Cu,
        0x4CC5D4BECB3E42B6u, 0x597F299CFC657E2Au, 0x5FCB6FAB3AD6FAECu, 0x6C44198C4A475817u,
    };
    static const uint64_t sha_square_roots[16] __attribute__((unused)) = {
        0x6A09E667F3BCC908u, 0xBB67AE8584CAA73Bu, 0x3C6EF372FE94F82Bu, 0xA54FF53A5F1D36F1u,
        0x510E527FADE682D1u, 0x9B05688C2B3E6C1Fu, 0x1F83D9ABFB41BD6Bu, 0x5BE0CD19137E2179u,
        0xCBBB9D5DC1059ED8u, 0x629A292A367CD507u, 0x9159015A3070DD17u, 0x152FECD8F70E5939u,
        0x67332667FFC00B31u, 0x8EB44A8768581511u, 0xDB0C2E0D64F98FA7u, 0x47B5481DBEFA4FA4u,
    };
    """
    const uint64_t *sha_cube_roots
    const uint64_t *sha_square_roots

cdef enum:  # by the bits of the digest
    SHA_1 = 160
    SHA_224 = 224
    SHA_256 = 256
    SHA_384 = 384
    SHA_512 = 512

cdef enum:
    SHA_BYTES_MAX = 64
    SHA_BLOCK_MAX = 128

cdef struct Sha:
    int bits
    uint32_t block_bytes
    uint64_t state[8]
    uint64_t length  # bytes so far
    uint8_t block[128]  # those of the last one, as far as it is filled


cdef inline uint32_t turned_32(uint32_t value, int bits) noexcept nogil:
    return value >> bits | value << (32 - bits)


cdef inline uint64_t turned_64(uint64_t value, int bits) noexcept nogil:
    return value >> bits | value << (64 - bits)


cdef inline uint64_t word_of(const uint8_t *bytes, int count) noexcept nogil:
    cdef uint64_t value = 0
    cdef int at
    for at in range(count):
        value = value << 8 | bytes[at]
    return value


cdef inline void sha1_block(Sha *sha) noexcept nogil:
    cdef uint32_t w[80]
    cdef uint32_t a = <uint32_t>sha.state[0], b = <uint32_t>sha.state[1]
    cdef uint32_t c = <uint32_t>sha.state[2], d = <uint32_t>sha.state[3]
    cdef uint32_t e = <uint32_t>sha.state[4], mixed, key
    cdef int at
    for at in range(80):
        if at < 16:
            w[at] = <uint32_t>word_of(sha.block + 4 * at, 4)
        else:
            w[at] = turned_32(w[at - 3] ^ w[at - 8] ^ w[at - 14] ^ w[at - 16], 31)
        if at < 20:
            mixed, key = (b & c) | (~b & d), <uint32_t>0x5A827999
        elif at < 40:
            mixed, key = b ^ c ^ d, <uint32_t>0x6ED9EBA1
        elif at < 60:
            mixed, key = (b & c) | (b & d) | (c & d), <uint32_t>0x8F1BBCDC
        else:
            mixed, key = b ^ c ^ d, <uint32_t>0xCA62C1D6
        mixed = turned_32(a, 27) + mixed + e + key + w[at]
        e, d, c, b, a = d, c, turned_32(b, 2), a, mixed
    sha.state[0] += a
    sha.state[1] += b
    sha.state[2] += c
    sha.state[3] += d
    sha.state[4] += e


cdef inline void sha256_block(Sha *sha) noexcept nogil:
    cdef uint32_t w[64]
    cdef uint32_t v[8]
    cdef uint32_t one, two
    cdef int at, to
    for at in range(8):
        v[at] = <uint32_t>sha.state[at]
    for at in range(64):
        if at < 16:
            w[at] = <uint32_t>word_of(sha.block + 4 * at, 4)
        else:
            one, two = w[at - 15], w[at - 2]
            w[at] = w[at - 16] + w[at - 7] + (
                turned_32(one, 7) ^ turned_32(one, 18) ^ one >> 3) + (
                turned_32(two, 17) ^ turned_32(two, 19) ^ two >> 10)
        one = v[7] + (turned_32(v[4], 6) ^ turned_32(v[4], 11) ^ turned_32(v[4], 25)) + (
            (v[4] & v[5]) ^ (~v[4] & v[6])) + <uint32_t>(sha_cube_roots[at] >> 32) + w[at]
        two = (turned_32(v[0], 2) ^ turned_32(v[0], 13) ^ turned_32(v[0], 22)) + (
            (v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]))
        for to in range(7, 0, -1):
            v[to] = v[to - 1]
        v[4] += one
        v[0] = one + two
    for at in range(8):
        sha.state[at] += v[at]


cdef inline void sha512_block(Sha *sha) noexcept nogil:
    cdef uint64_t w[80]
    cdef uint64_t v[8]
    cdef uint64_t one, two
    cdef int at, to
    memcpy(v, sha.state, sizeof(v))
    for at in range(80):
        if at < 16:
            w[at] = word_of(sha.block + 8 * at, 8)
        else:
            one, two = w[at - 15], w[at - 2]
            w[at] = w[at - 16] + w[at - 7] + (
                turned_64(one, 1) ^ turned_64(one, 8) ^ one >> 7) + (
                turned_64(two, 19) ^ turned_64(two, 61) ^ two >> 6)
        one = v[7] + (turned_64(v[4], 14) ^ turned_64(v[4], 18) ^ turned_64(v[4], 41)) + (
            (v[4] & v[5]) ^ (~v[4] & v[6])) + sha_cube_roots[at] + w[at]
        two = (turned_64(v[0], 28) ^ turned_64(v[0], 34) ^ turned_64(v[0], 39)) + (
            (v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]))
        for to in range(7, 0, -1):
            v[to] = v[to - 1]
        v[4] += one
        v[0] = one + two
    for at in range(8):
        sha.state[at] += v[at]


cdef inline void sha_begin(Sha *sha, int bits) noexcept nogil:
    cdef const uint32_t *starts = [
        0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0]
    cdef int at
    memset(sha, 0, sizeof(sha[0]))
    sha.bits = bits
    sha.block_bytes = 64 if bits <= SHA_256 else 128
    for at in range(8):
        if bits == SHA_1:
            sha.state[at] = starts[at] if at < 5 else 0
        elif bits == SHA_224:
            sha.state[at] = <uint32_t>sha_square_roots[8 + at]
        elif bits == SHA_256:
            sha.state[at] = sha_square_roots[at] >> 32
        else:
            sha.state[at] = sha_square_roots[at if bits == SHA_512 else 8 + at]


cdef inline void sha_block(Sha *sha) noexcept nogil:
    if sha.bits == SHA_1:
        sha1_block(sha)
    elif sha.bits <= SHA_256:
        sha256_block(sha)
    else:
        sha512_block(sha)


cdef inline void sha_add(Sha *sha, const char *bytes, size_t length) noexcept nogil:
    cdef size_t part
    while length != 0:
        part = min(length, <size_t>(sha.block_bytes - sha.length % sha.block_bytes))
        memcpy(sha.block + sha.length % sha.block_bytes, bytes, part)
        sha.length += part
        bytes += part
        length -= part
        if sha.length % sha.block_bytes == 0:
            sha_block(sha)


cdef inline size_t sha_end(Sha *sha, char *out) noexcept nogil:
    """Write the digest; gives its length."""
    cdef uint64_t bits = sha.length * 8
    cdef uint32_t word_bytes = sha.block_bytes // 16, at
    sha_add(sha, b"\x80", 1)
    while sha.length % sha.block_bytes != sha.block_bytes - 2 * word_bytes:
        sha_add(sha, b"\0", 1)
    memset(sha.block + sha.block_bytes - 2 * word_bytes, 0, 2 * word_bytes)
    for at in range(8):  # which is enough for any length
        sha.block[sha.block_bytes - 1 - at] = <uint8_t>(bits >> 8 * at & 0xFF)
    sha_block(sha)
    for at in range(<uint32_t>sha.bits // 8):
        out[at] = <char>(
            sha.state[at // word_bytes] >> 8 * (word_bytes - 1 - at % word_bytes) & 0xFF)
    return <size_t>sha.bits // 8


cdef inline size_t sha_digest(
        int bits, const char *bytes, size_t length, char *out) noexcept nogil:
    cdef Sha sha
    sha_begin(&sha, bits)
    sha_add(&sha, bytes, length)
    return sha_end(&sha, out)


cdef inline size_t sha_code(
        int bits, const char *key, size_t key_length, const char *bytes, size_t length,
        char *out) noexcept nogil:
    """The code of authentication; gives its length."""
    cdef Sha sha
    cdef char padded[128]
    cdef char inner[64]
    cdef size_t at, size
    memset(padded, 0, sizeof(padded))
    sha_begin(&sha, bits)
    if key_length > sha.block_bytes:
        sha_digest(bits, key, key_length, padded)
    else:
        memcpy(padded, key, key_length)
    for at in range(sha.block_bytes):
        padded[at] ^= 0x36
    sha_add(&sha, padded, sha.block_bytes)
    sha_add(&sha, bytes, length)
    size = sha_end(&sha, inner)
    for at in range(sha.block_bytes):
        padded[at] ^= 0x36 ^ 0x5C
    sha_begin(&sha, bits)
    sha_add(&sha, padded, sha.block_bytes)
    sha_add(&sha, inner, size)
    return sha_end(&sha, out)
