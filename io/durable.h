// Files that are whole or absent, whatever dies when.
#pragma once

#include <string>
#include <string_view>

namespace tovamill {

// fsync of a directory: the names in it survive the death of the machine. Throws Error(io).
void sync_directory(const std::string& path);

// Makes `temporary` (closed) durable and gives it the name `path`, replacing what had it. Throws
// Error(io).
void rename_durably(const std::string& temporary, const std::string& path);

// Replaces `path` by `content` through `<path>.tmp`. Throws Error(io or cannot_create).
void write_file_durably(const std::string& path, std::string_view content);

// "No space left on device: free some space ..." and the like, for an errno.
std::string why_io_failed(int error_number);

}  // namespace tovamill
