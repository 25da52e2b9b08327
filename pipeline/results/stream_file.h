// The file of --stream-jsonl: JSON lines to which all processes of a run, on all hosts of a shared
// file system, append the generated texts as they become durable, and which is reconciled
// with the journals at the start and the end of a run.
//
// Each line is an object of generation_json.h, a text or a failed document. A record's line number
// may be known only to the merge: "line" is then left out and a default id is
// "<file name>@<offset>". Lines stand in the order in which the texts were done. A document that
// was computed twice, because a rank was lost after it had finished it, may appear twice.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "io/files/file_descriptor.h"
#include "pipeline/run_directory/document_record.h"
#include "pipeline/run_directory/run_directory.h"

namespace tovamill {

// For one thread at a time; any number of processes may hold the same file.
class StreamFile {
 public:
  // Opens the file, makes it if it is not there, and cuts off a torn last line. Throws
  // Error(cannot_create), Error(configuration) where this program did not write the torn line.
  explicit StreamFile(const std::string& path);

  // Takes all lines out: of a file that check_stream has found to be of this run.
  void clear();

  // Appends a line for each text and for each failed document in one write under a lock of the
  // file, and makes them durable; a torn line that a dead process left goes first. Throws Error(io)
  // with what was written taken back; Error(configuration) as above.
  void append(std::span<const DocumentRecord> records);
  // The same for lines that are made, each with its \n; nothing where there are none.
  void append_lines(const std::string& lines);

 private:
  std::string path_;
  FileDescriptor file_;
};

// The lines that `append` writes for a record, each with its \n; none for a document that was
// scored.
std::string stream_lines(const DocumentRecord& record);

// Appends to the file of --stream-jsonl the texts of the journals of `index` that it lacks: after a
// kill between journal and file, after the file was lost, or where the option is given for the
// first time. Reads both once; memory is 24 bytes for each text plus one record. To be called while
// nobody else appends. Returns the number of lines appended.
// Throws Error(configuration) naming the file where a line is not of this run: not of this form, of
// a document that the journals do not hold, or after another prompt; Error(cannot_create, io),
// BadData as JournalReader does.
std::uint64_t reconcile_stream(const std::string& path, const JournalIndex& index);

// Throws what reconcile_stream would for a file that is there, and changes nothing.
void check_stream(const std::string& path, const JournalIndex& index);

}  // namespace tovamill
