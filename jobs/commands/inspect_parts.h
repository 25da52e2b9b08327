// What `tovamill inspect` can look into. Each gives a flat object, "kind" first, in the order in
// which it is shown.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace tovamill {

nlohmann::ordered_json inspect_model(
    const std::string& path);  // a Hugging Face directory or a .gguf file
nlohmann::ordered_json inspect_results(const std::string& path);  // results.h5
nlohmann::ordered_json inspect_journal(const std::string& path);  // a file of a run's journal/

}  // namespace tovamill
