#include "io/files/failure.h"

#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <new>
#include <system_error>

#include "io/files/durable.h"

namespace tovamill {
namespace {

namespace fs = std::filesystem;

constexpr const char* kOutOfMemory =
    "out of memory: give a smaller --memory-budget, fewer --streams or a smaller --cache-size";

bool is_working_directory_gone() {
  std::error_code error;
  static_cast<void>(fs::current_path(error));
  return error == std::errc::no_such_file_or_directory;
}

Failure of_file_system(const fs::filesystem_error& e) {
  if (is_working_directory_gone())
    return {ExitCode::no_input,
            "the working directory does not exist any more: change to one that does"};
  std::string path = e.path1().string();
  if (!path.empty()) path = "'" + path + "': ";
  return {ExitCode::io, path + why_io_failed(e.code().value())};
}

Failure of_system(const std::system_error& e) {
  if (e.code() == std::errc::resource_unavailable_try_again)
    return {ExitCode::internal,
            "a thread cannot be started: raise the limit of processes (ulimit -u) or of memory "
            "(ulimit -v, -d), or give fewer --threads"};
  if (e.code() == std::errc::not_enough_memory) return {ExitCode::internal, kOutOfMemory};
  return {ExitCode::io, why_io_failed(e.code().value())};
}

}  // namespace

Failure failure_of(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const Error& e) {
    return {e.code(), e.what()};
  } catch (const std::bad_alloc&) {
    return {ExitCode::internal, kOutOfMemory};
  } catch (const fs::filesystem_error& e) {
    return of_file_system(e);
  } catch (const std::system_error& e) {
    return of_system(e);
  } catch (const std::exception& e) {
    return {ExitCode::internal, std::string("internal error: ") + e.what()};
  } catch (...) {
    return {ExitCode::internal, "internal error of an unknown kind"};
  }
}

}  // namespace tovamill
