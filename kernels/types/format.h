// Numbers for people: counts, sizes and measures with a comma between thousands. What is to be
// typed or looked up again (an option's value, a line, a byte, a process) stays as digits alone,
// and so does everything in JSON and CSV.
#pragma once

#include <cstdint>
#include <string>

namespace tovamill {

std::string with_thousands(std::uint64_t value);        // "1,234,567"
std::string human_bytes(std::uint64_t bytes);           // "1.5 GiB", "812 bytes"; powers of 1024
std::string human_count(std::uint64_t n);               // "260 K", "135 M", "8.0 B", "812"
std::string human_duration(double seconds);             // "4.2 s", "2 min 05 s", "3 h 07 min"
std::string fixed_point(double value, int n_decimals);  // "1,027.78"; "-" for NaN and infinities
// With four decimals, from a million on by its power of ten: "23.3208", "2.0710e+17".
std::string perplexity_text(double value);
// "1 document", "2 documents"
std::string counted(std::uint64_t n, const std::string& noun);
// A line of a table: the name, and its value from column 22 on.
std::string row(const std::string& name, const std::string& value);

}  // namespace tovamill
