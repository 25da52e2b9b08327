// CRC-32C (Castagnoli, reflected polynomial 0x82f63b78), eight bytes at a time by tables, or with
// the SSE 4.2 instruction where the machine has it.
#include <array>
#include <cstring>

#include "io/results/journal.h"

namespace tovamill {
namespace {

constexpr std::uint32_t kPolynomial = 0x82f63b78u;

using Tables = std::array<std::array<std::uint32_t, 256>, 8>;

constexpr Tables make_tables() {
  Tables t{};
  for (std::uint32_t b = 0; b < 256; ++b) {
    std::uint32_t crc = b;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ (crc & 1 ? kPolynomial : 0);
    t[0][b] = crc;
  }
  for (std::size_t k = 1; k < 8; ++k) {
    for (std::size_t b = 0; b < 256; ++b) t[k][b] = (t[k - 1][b] >> 8) ^ t[0][t[k - 1][b] & 0xff];
  }
  return t;
}
constexpr Tables kTables = make_tables();

std::uint32_t by_tables(const unsigned char* p, std::size_t n, std::uint32_t crc) {
  for (; n >= 8; p += 8, n -= 8) {
    std::uint64_t word;
    std::memcpy(&word, p, 8);
    word ^= crc;
    crc = 0;
    for (std::size_t k = 0; k < 8; ++k) crc ^= kTables[7 - k][(word >> (8 * k)) & 0xff];
  }
  for (; n > 0; ++p, --n) crc = (crc >> 8) ^ kTables[0][(crc ^ *p) & 0xff];
  return crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) std::uint32_t by_instruction(const unsigned char* p,
                                                               std::size_t n, std::uint32_t crc) {
  for (; n >= 8; p += 8, n -= 8) {
    std::uint64_t word;
    std::memcpy(&word, p, 8);
    crc = static_cast<std::uint32_t>(__builtin_ia32_crc32di(crc, word));
  }
  for (; n > 0; ++p, --n) crc = __builtin_ia32_crc32qi(crc, *p);
  return crc;
}
const bool kHasInstruction = __builtin_cpu_supports("sse4.2");
#else
constexpr bool kHasInstruction = false;
std::uint32_t by_instruction(const unsigned char* p, std::size_t n, std::uint32_t crc) {
  return by_tables(p, n, crc);
}
#endif

}  // namespace

std::uint32_t crc32c(std::span<const std::byte> bytes, std::uint32_t crc) {
  const auto* p = reinterpret_cast<const unsigned char*>(bytes.data());
  return ~(kHasInstruction ? by_instruction(p, bytes.size(), ~crc)
                           : by_tables(p, bytes.size(), ~crc));
}

std::uint32_t crc32c_by_tables(std::span<const std::byte> bytes, std::uint32_t crc) {
  return ~by_tables(reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(), ~crc);
}

}  // namespace tovamill
