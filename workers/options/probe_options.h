// What `tovamill probe` takes beside what `generate` takes: which documents are made.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "pipeline/probe/probe_key.h"

namespace tovamill {

struct ProbeOptions {
  std::string tasks = "passkey,needles,variables,words";
  std::string lengths = "1024,2048,4096";    // tokens of a text
  std::string depths = "0,0.25,0.5,0.75,1";  // shares of the filler before what is sought
  std::int32_t n = 10;                       // documents of each task, length and depth
  std::int32_t needles = 4, hops = 4;
  std::string haystack;       // a file; empty: filler of our own
  std::string haystack_text;  // its content
};

// The values of the lists, each once, in their order. Throw Error(usage) naming what cannot be
// read, Error(configuration) what is out of range.
std::vector<ProbeTask> tasks_of(const ProbeOptions& options);
std::vector<std::uint64_t> lengths_of(const ProbeOptions& options);
std::vector<double> depths_of(const ProbeOptions& options);

// Throws Error(usage or configuration) naming the option and what to give instead.
void validate_probe(const ProbeOptions& options);

}  // namespace tovamill
