// What a document of `tovamill probe` asks for, in its id: "probe/passkey/1024/0.25/3". So every
// run over such a corpus can be told and judged, whichever command it was.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace tovamill {

// In the order of tables. The kinds of RULER (Hsieh et al. 2024, arXiv:2404.06654), texts our own.
enum class ProbeTask : std::uint8_t { passkey, needles, variables, words };
inline constexpr std::array<const char*, 4> kProbeTaskNames{"passkey", "needles", "variables",
                                                            "words"};
std::string_view name_of(ProbeTask task);
std::optional<ProbeTask> probe_task_named(std::string_view name);
// Whether what is sought stands in one place of the text.
inline bool has_depth(ProbeTask task) { return task != ProbeTask::words; }

struct ProbeKey {
  ProbeTask task = ProbeTask::passkey;
  std::uint64_t length = 0;     // wanted of the text (tokens)
  std::optional<double> depth;  // share of the filler before what is sought, 0 to 1; has_depth
  std::uint32_t sample = 0;     // from 0

  bool operator==(const ProbeKey&) const = default;
};

inline constexpr std::string_view kProbeIdFront = "probe/";
// The decimal that reads back the same; "-" where there is none.
std::string depth_text(std::optional<double> depth);
std::string id_of(const ProbeKey& key);
// Nothing for an id that id_of does not give.
std::optional<ProbeKey> probe_key_of(std::string_view id);

}  // namespace tovamill
