// Files that are whole or absent, whichever process dies when.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "kernels/types/error.h"

namespace tovamill {

// Calls fsync for a directory: the names in it survive the death of the machine. Throws Error(io).
void sync_directory(const std::string& path);

// Makes `temporary` (closed) durable and renames it to `path`, replacing what is there. Throws
// Error(io).
void rename_durably(const std::string& temporary, const std::string& path);

// Replaces `path`, or what the symbolic link there leads to, by `content` through a temporary file.
// Throws Error(io or cannot_create).
void write_file_durably(const std::string& path, std::string_view content);

// The same, but not durable: a reader sees a whole file, and the next comes soon.
void replace_file(const std::string& path, std::string_view content);

// Replaces `path` by `parts`, one after another, through `temporary` in the same directory, which
// must not be there. If it fails, `temporary` is removed and `path` is as before. Throws Error(io
// or cannot_create).
void write_file_durably(const std::string& path, const std::string& temporary,
                        std::span<const std::span<const std::byte>> parts);

// What a failed call leads to: Error(io) where a disk is full or a limit of the process is reached,
// `otherwise` where it is a matter of the path.
ExitCode code_of_failure(int error_number, ExitCode otherwise);

// "No space left on device: free some space ..." and the like, for an errno: a limit of the process
// is named.
std::string why_io_failed(int error_number);

}  // namespace tovamill
