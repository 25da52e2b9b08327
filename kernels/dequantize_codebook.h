// Blocks of the GGUF types whose elements are looked up in a table (ggml-common.h,
// dequantize_row_iq* in ggml-quants.c): `p` is a block, `out` takes its 32 (IQ4_NL, MXFP4) or 256
// values.
#pragma once

#include <cstdint>

namespace tovamill {

void block_iq1_m(const std::uint8_t* p, float* out);
void block_iq1_s(const std::uint8_t* p, float* out);
void block_iq2_s(const std::uint8_t* p, float* out);
void block_iq2_xs(const std::uint8_t* p, float* out);
void block_iq2_xxs(const std::uint8_t* p, float* out);
void block_iq3_s(const std::uint8_t* p, float* out);
void block_iq3_xxs(const std::uint8_t* p, float* out);
void block_iq4_nl(const std::uint8_t* p, float* out);
void block_iq4_xs(const std::uint8_t* p, float* out);
void block_mxfp4(const std::uint8_t* p, float* out);

}  // namespace tovamill
