// Blocks of one token: generation. One query a head needs no tile: a thread takes a whole stream,
// appends its token to the state, reads each key once for the queries of its KV head, then each
// value once, straight from the rows as they are stored, and lets the policy drop what has no
// place.
//
// Bytes moved a layer and stream: 2 * n_slots * kv_size * (2 in bf16, 4 in float32), and the keys
// twice more where their rotation changes, every 256 tokens.
#pragma once

#include "kernels/cpu/attention/tile.h"

namespace tovamill::cpu {

// `tile` of one query, which is not scanned with others.
void decode(const LayerPass& pass, Tile tile, BlockEvents& events, int thread);

}  // namespace tovamill::cpu
