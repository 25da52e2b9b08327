// What a results.h5 says, as text to the bit: for runs that must have the same results.
#pragma once

#include <map>
#include <string>

namespace tovamill::testing {

// Every attribute and value of the file but those of /run and the attributes that the file itself
// calls run-dependent.
std::string results_text(const std::string& results_path);
// The same in parts: path of the group or dataset -> what it says, those within it aside.
std::map<std::string, std::string> results_parts(const std::string& results_path);
// Of what lies within a group ("", or "/sweep/<name>", whose /paired is left out), by paths that
// begin there.
std::map<std::string, std::string> results_within(const std::string& results_path,
                                                  const std::string& group);

}  // namespace tovamill::testing
