// bfloat16 as CUDA names it, for the emulation.
#pragma once

struct __nv_bfloat16 {
  unsigned short bits;
};
