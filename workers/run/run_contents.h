// What in a directory a run has written, told by name and content: nothing else is ever deleted
// there.
#pragma once

#include <string>

namespace tovamill {

// Throws Error(configuration) naming the first entry of the directory that no run writes: a folder
// named journal may be somebody's diary. `own_file`, wherever it lies, is the run's.
void check_run_contents(const std::string& directory, const std::string& own_file);

// Deletes what a run has written there, apart from the lock and `own_file`. A symbolic link to
// results.h5 or status.json stays, what it leads to goes; of a link to a folder the link goes.
// Throws as above, before anything is deleted, and std::filesystem::filesystem_error.
void remove_run_contents(const std::string& directory, const std::string& own_file);

// Deletes the temporary files that processes left which were killed. Only under a RunLock.
void remove_left_temporaries(const std::string& directory);

// Whether a run directory may hold an entry of this name.
bool is_run_content(const std::string& name);

}  // namespace tovamill
