// What the feed-forward of the reference backend is made of.
#pragma once

#include <cstdint>

#include "kernels/reference/device.h"
#include "kernels/types/layer_shape.h"

namespace tovamill::reference {

// Row `out` of w times x, and its bias.
double dot_row(const ReferenceMatrix& w, std::int32_t out, const double* x);
double activated(Activation activation, double x);
double activated(const Xielu& xielu, double x);
// activation(gate) * up.
double gated(Activation activation, double gate, double up);

}  // namespace tovamill::reference
