// A document in the middle as bytes, little-endian: u8 version, varint settings, and of each u8
// kind and, with its length, the part (saved_stream.cc, saved_generation.cc), or the digest of one
// that is through and its record.
#include <algorithm>

#include "io/files/little_endian.h"
#include "kernels/types/error.h"
#include "workers/documents/sweep_work.h"

namespace tovamill {
namespace {

constexpr std::uint8_t kSweepDocumentVersion = 1;
constexpr char kSavedSweep[] = "the saved state of a document of a sweep";
enum class SavedPart : std::uint8_t { stream = 0, record = 1 };

// What all settings have in common: the document, not what became of it.
DocumentRecord common_record(const DocumentRecord& of) {
  DocumentRecord r = identity_of(of);
  r.n_words = of.n_words;
  r.n_tokens = of.n_tokens;
  r.status = of.status;
  r.rank = of.rank;
  return r;
}

}  // namespace

SweepDocument::SweepDocument(const Sweep& sweep, std::uint64_t n_bytes,
                             std::vector<std::unique_ptr<SweptDocument>> parts)
    : sweep_(sweep), n_bytes_(n_bytes), parts_(parts.size()) {
  for (std::size_t i = 0; i < parts.size(); ++i) parts_[i].document = std::move(parts[i]);
}

bool SweepDocument::finished() const {
  return std::all_of(parts_.begin(), parts_.end(), [&](const Part& p) { return is_through(p); });
}

const std::string& SweepDocument::rejection() const {
  static const std::string none;
  const bool by_all = std::all_of(parts_.begin(), parts_.end(), [](const Part& p) {
    return p.document && !p.document->rejection().empty();
  });
  return by_all ? parts_.front().document->rejection() : none;
}

double SweepDocument::fraction_done() const {
  double sum = 0.0;
  for (const Part& p : parts_) sum += p.document ? p.document->fraction_done() : 1.0;
  return sum / static_cast<double>(parts_.size());
}

std::unique_ptr<SweptDocument> SweepDocument::release_finished(std::size_t setting) {
  Part& part = parts_[setting];
  if (!part.document || !part.document->finished() || finished()) return nullptr;
  part.digest = part.document->digest();
  part.record = part.document->finish(0);
  return std::move(part.document);
}

std::unique_ptr<SweptDocument> SweepDocument::release(std::size_t setting) {
  return std::move(parts_[setting].document);
}

std::vector<std::byte> SweepDocument::save() const {
  ByteWriter out;
  out.fixed(kSweepDocumentVersion);
  out.varint(parts_.size());
  for (const Part& p : parts_) {
    out.fixed(static_cast<std::uint8_t>(p.document ? SavedPart::stream : SavedPart::record));
    if (p.document) {
      out.bytes(p.document->save());
    } else {
      out.text(p.digest);
      out.bytes(encode(p.record));
    }
  }
  return out.take();
}

bool SweepDocument::restore(std::span<const std::byte> bytes) {
  bool any = false;
  try {
    ByteReader in(bytes, kSavedSweep);
    if (in.fixed<std::uint8_t>() != kSweepDocumentVersion) return false;
    if (in.varint() != parts_.size()) return false;
    for (Part& part : parts_) {
      if (in.fixed<std::uint8_t>() == static_cast<std::uint8_t>(SavedPart::stream)) {
        any = part.document->restore(in.bytes()) || any;
        continue;
      }
      const std::string digest = in.text();
      const std::span<const std::byte> record = in.bytes();
      part.document->wait_for_text();
      if (digest != part.document->digest()) continue;
      part.document->end_with(decode_document(record, kSavedSweep));
      any = true;
    }
  } catch (const BadData&) {
    // What has been restored goes on; the rest is fresh.
  }
  return any;
}

DocumentRecord SweepDocument::finish(int rank) {
  std::vector<DocumentRecord> records;
  for (Part& p : parts_) {
    records.push_back(p.document ? p.document->finish(rank) : std::move(p.record));
    records.back().rank = rank;
  }
  const auto failed = [](const DocumentRecord& r) {
    return r.status == DocumentRecord::Status::failed;
  };
  const auto is_of_all = [&](const DocumentRecord& r) {
    return r.failure_reason == records.front().failure_reason;
  };
  const std::string& reason = records.front().failure_reason;
  if ((reason == "bad-tokens" || reason == "missing-question") &&
      std::all_of(records.begin(), records.end(), is_of_all))
    return std::move(records.front());
  // The longest text, for readers make room for it.
  const DocumentRecord* worst = nullptr;
  for (const DocumentRecord& r : records) {
    const bool is_longer = !worst || r.failure_text.size() > worst->failure_text.size();
    if (failed(r) && is_longer) worst = &r;
  }
  DocumentRecord all = common_record(worst ? *worst : records.front());
  if (worst) {
    all.failure_reason = worst->failure_reason;
    all.failure_text = sweep_.settings[static_cast<std::size_t>(worst - records.data())].name +
                       ": " + worst->failure_text;
  }
  all.settings = std::move(records);
  return all;
}

}  // namespace tovamill
