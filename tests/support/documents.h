// The Markdown files of a source tree: which of their links, and of the citations of their sections
// in comments, lead nowhere.
#pragma once

#include <filesystem>
#include <set>
#include <string>
#include <vector>

namespace tovamill::testing {

// Paths from `root` of the files of its git repository, or of all files where it is none (hidden
// ones and builds aside).
std::set<std::string> files_of_tree(const std::filesystem::path& root);

// Anchors of the headings of a Markdown text, as GitHub makes them.
std::set<std::string> anchors_of(const std::string& markdown);

struct LinkReport {
  std::size_t n_checked = 0;
  std::vector<std::string> broken;  // "file: target: why"
};

// Relative links of every .md file of `files`, code aside: [text](path#anchor) and [name]: path.
LinkReport check_links(const std::filesystem::path& root, const std::set<std::string>& files);

// Citations in the sources among `files`: a path that ends in README.md, a comma, and titles of its
// sections in quotes, also over several lines of a comment.
LinkReport check_citations(const std::filesystem::path& root, const std::set<std::string>& files);

}  // namespace tovamill::testing
