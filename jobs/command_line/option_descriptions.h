// The options of a subcommand as Boost.Program_options describes them, and what is asked of their
// list.
#pragma once

#include <boost/program_options/options_description.hpp>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "jobs/command_line/command_line.h"

namespace tovamill {

// What the types of visit_fields' fields are to the command line.
template <class Field>
constexpr bool kIsList = std::is_same_v<std::remove_const_t<Field>, std::vector<std::string>>;
template <class Field>
constexpr bool kIsFlag = std::is_same_v<std::remove_const_t<Field>, bool>;

// An option as --help, the man page and the shells' completion show it.
struct OptionHelp {
  std::string name;                    // without dashes
  std::string argument{};              // "FILE"; empty for a flag
  std::string help{};                  // with its default in [brackets]
  std::vector<std::string> choices{};  // the names it takes, where these are known
  bool takes_many = false;             // several values may follow
};
struct OptionSection {
  std::string title;
  std::vector<OptionHelp> options;
};

// All options of a subcommand, in the order of --help.
std::vector<OptionSection> option_sections(const Subcommand& command);

// Flags take a value when parsed (see flag_names) and show none in --help.
enum class Purpose { parsing, help };
boost::program_options::options_description describe_options(const Subcommand& command,
                                                             Purpose purpose);

// Whether the subcommand takes this field of visit_fields.
bool takes(const Subcommand& command, std::string_view field);
std::vector<std::string> option_names(const Subcommand& command);  // all of them
std::vector<std::string> flag_names(const Subcommand& command);    // those without a value
std::vector<std::string> field_names();                            // of visit_fields, taken or not
bool is_list(std::string_view field);

}  // namespace tovamill
