// Changes between two starts of a run that other programs, by public reports, did not notice: they
// went on with what they had read before.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>

#include "tests/support/compress.h"
#include "tests/support/error_of.h"
#include "tests/support/models/file_builders.h"
#include "tests/support/models/model_builder.h"
#include "tests/support/runs/score_runs.h"
#include "tests/support/temporary_directory.h"
#include "workers/run/corpus_run.h"

namespace tovamill {
namespace {

namespace fs = std::filesystem;
using testing::contains;
using testing::error_of;
using testing::gzip;
using testing::Results;
using testing::score;
using testing::TemporaryDirectory;
using testing::tiny_options;
using testing::TinyModel;

std::string row(const std::string& words) { return R"({"text": ")" + words + "\"}\n"; }

struct ReportedChange {
  const char* report;
  // Between the starts. The options are those of the second.
  std::function<void(const TemporaryDirectory& d, RunOptions& second)> make;
  std::string message;            // "": the run continues
  std::size_t n_documents = 0;    // that it then has
  bool accepts_appended = false;  // in the second start
};

void overwrite_in_place(const fs::path& path, const std::string& bytes) {
  std::fstream(path, std::ios::in | std::ios::out | std::ios::binary) << bytes;
}

void keeping_time(const fs::path& path, const std::function<void()>& change) {
  const auto time = fs::last_write_time(path);
  change();
  fs::last_write_time(path, time);
}

// Changes the first number of a large matrix by its last bit: a digest of samples may not see it.
void edit_weights(const fs::path& path) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  std::uint64_t n_header = 0;
  file.read(reinterpret_cast<char*>(&n_header), sizeof n_header);
  std::string header(n_header, ' ');
  file.read(header.data(), static_cast<std::streamsize>(n_header));
  const nlohmann::json tensors = nlohmann::json::parse(header);
  for (const auto& [name, tensor] : tensors.items()) {
    if (name == "__metadata__") continue;
    const std::uint64_t begin = tensor["data_offsets"][0], end = tensor["data_offsets"][1];
    if (end - begin < 16384) continue;
    const auto at = static_cast<std::streamoff>(sizeof n_header + n_header + begin);
    file.seekg(at);
    const char byte = static_cast<char>(file.get() ^ 1);
    file.seekp(at);
    file.put(byte);
    return;
  }
  FAIL() << "no large matrix in " << path;
}

class ReportedChanges : public ::testing::Test {
 protected:
  static constexpr std::size_t kDocuments = 7;

  void write_all(const TemporaryDirectory& d) const {
    write_hf_model(TinyModel{}, d.path() / "model");
    d.write("corpus/a.jsonl", row("the cat 1") + row("on 2") + row("a mat 3"));
    d.write("corpus/b.jsonl", row("the dog 1") + row("on 2"));
    d.write("corpus/c.jsonl.gz", gzip(row("watches 1")));
    d.write("corpus/sub/d.txt", "an old house");
  }
  RunOptions options(const TemporaryDirectory& d) const {
    return tiny_options(d.path() / "model", d.path() / "corpus", d.path() / "run");
  }
  void expect(const std::vector<ReportedChange>& changes) const {
    for (const ReportedChange& change : changes) {
      SCOPED_TRACE(change.report);
      const TemporaryDirectory d;
      write_all(d);
      ASSERT_EQ(score(options(d)).n_documents, kDocuments);
      RunOptions second = options(d);
      second.accept_appended = change.accepts_appended;
      change.make(d, second);
      if (change.message.empty()) {
        EXPECT_EQ(score(second).n_documents, change.n_documents);
        continue;
      }
      const std::string why = error_of([&] { score(second); }, ExitCode::configuration);
      EXPECT_TRUE(contains(why, change.message)) << why;
    }
  }
};

TEST_F(ReportedChanges, OfTheCorpusAreNamed) {
  expect({
      {"huggingface/datasets#2956: a compressed file in another version",
       [](const auto& d, auto&) { d.write("corpus/c.jsonl.gz", gzip(row("and sits 1"))); },
       "c.jsonl.gz has "},
      {"lisa-lab/pylearn2#870: an updated file of the same name",
       [](const auto& d, auto&) { d.write("corpus/a.jsonl", row("the cat 1")); },
       "a.jsonl has become shorter"},
      {"RsyncProject/rsync#310, GoogleCloudPlatform/gsutil#343: a file of the same size and time",
       [](const auto& d, auto&) {
         const fs::path b = d.path() / "corpus/b.jsonl";
         keeping_time(b, [&] { d.write("corpus/b.jsonl", row("the cow 1") + row("on 2")); });
       },
       "b.jsonl has changed (39 bytes as before"},
      {"RsyncProject/rsync#310: moved there from elsewhere",
       [](const auto& d, auto&) {
         d.write("other", row("the hen 1") + row("on 2"));
         fs::last_write_time(d.path() / "other", fs::last_write_time(d.path() / "corpus/b.jsonl"));
         fs::rename(d.path() / "other", d.path() / "corpus/b.jsonl");
       },
       "b.jsonl has changed"},
      {"treeverse/dvc#515: damaged in place",
       [](const auto& d, auto&) {
         const fs::path a = d.path() / "corpus/a.jsonl";
         keeping_time(a, [&] { overwrite_in_place(a, R"({"text": "The)"); });
       },
       "a.jsonl has changed"},
      {"aria2/aria2#550: of its full size, but not downloaded yet",
       [](const auto& d, auto&) {
         const auto n = fs::file_size(d.path() / "corpus/a.jsonl");
         fs::resize_file(d.path() / "corpus/a.jsonl", n / 2);
         fs::resize_file(d.path() / "corpus/a.jsonl", n);
       },
       "a.jsonl has changed"},
      {"karpathy/autoresearch#549: truncated",
       [](const auto& d, auto&) { fs::resize_file(d.path() / "corpus/c.jsonl.gz", 20); },
       "c.jsonl.gz has become shorter"},
      {"older, as an archive gives it back",
       [](const auto& d, auto&) {
         d.write("corpus/sub/d.txt", "an old town.");
         fs::last_write_time(d.path() / "corpus/sub/d.txt", fs::file_time_type{});
       },
       "d.txt has changed"},
      {"a link to another file in its place",
       [](const auto& d, auto&) {
         d.write("elsewhere", row("the pig 1") + row("on 2"));
         fs::remove(d.path() / "corpus/b.jsonl");
         fs::create_symlink("../elsewhere", d.path() / "corpus/b.jsonl");
       },
       "b.jsonl has changed"},
      {"a link to a file that is read anyway",
       [](const auto& d, auto&) {
         fs::remove(d.path() / "corpus/b.jsonl");
         fs::create_symlink("a.jsonl", d.path() / "corpus/b.jsonl");
       },
       "b.jsonl is gone"},
      {"renamed in capitals",
       [](const auto& d, auto&) {
         fs::rename(d.path() / "corpus/b.jsonl", d.path() / "corpus/B.jsonl");
       },
       "b.jsonl is gone"},
      {"the same text compressed again is another file",
       [](const auto& d, auto&) {
         d.write("corpus/c.jsonl.gz", gzip(row("watches 1")) + gzip(""));
       },
       "c.jsonl.gz has grown (", 0, true},
      {"QwenLM/qwen-code#6316: the rest of a line",
       [](const auto& d, auto& second) {
         RunOptions first = second;
         first.overwrite = true;
         d.write("corpus/a.jsonl", R"({"text": "spl)");
         score(first);
         d.write("corpus/a.jsonl", row("split"));
       },
       "its last line was not finished", 0, true},
      {"unpacked into it",
       [](const auto& d, auto&) { d.write("corpus/sub/deeper/e.jsonl", row("new")); },
       "e.jsonl is new"},
  });
}

TEST_F(ReportedChanges, OfWhatIsTheSameAreNone) {
  expect({
      {"snakemake/snakemake#4172: weights touched, or the same ones elsewhere",
       [](const auto& d, auto& second) {
         fs::last_write_time(d.path() / "model/model.safetensors",
                             fs::file_time_type::clock::now());
         score(second);
         fs::copy(d.path() / "model", d.path() / "copy");
         second.model = d.path() / "copy";
       },
       "", kDocuments},
      {"snakemake/snakemake#4172: touched",
       [](const auto& d, auto&) {
         fs::last_write_time(d.path() / "corpus/a.jsonl", fs::file_time_type::clock::now());
       },
       "", kDocuments},
      {"pytorch/vision#193, keras-team/keras#6418: written again in another order",
       [this](const auto& d, auto&) {
         fs::rename(d.path() / "corpus", d.path() / "old");
         for (const char* name : {"sub/d.txt", "c.jsonl.gz", "b.jsonl", "a.jsonl"}) {
           fs::create_directories((d.path() / "corpus" / name).parent_path());
           fs::copy_file(d.path() / "old" / name, d.path() / "corpus" / name);
         }
       },
       "", kDocuments},
      {"a link to the same content in its place",
       [](const auto& d, auto&) {
         fs::rename(d.path() / "corpus/b.jsonl", d.path() / "elsewhere");
         fs::create_symlink("../elsewhere", d.path() / "corpus/b.jsonl");
       },
       "", kDocuments},
      {"another file beside it that is not read",
       [](const auto& d, auto&) { d.write("corpus/README.md", "words"); }, "", kDocuments},
      {"steipete/CodexBar#2168: records behind the last, with and without an end of line",
       [](const auto& d, auto&) {
         std::ofstream(d.path() / "corpus/a.jsonl", std::ios::app) << row("more 4") << "\n"
                                                                   << R"({"text": "last 5"})";
       },
       "", kDocuments + 2, true},
  });
}

TEST_F(ReportedChanges, OfModelAndOptionsAreNamed) {
  expect({
      {"huggingface/lighteval#1364: other weights under the same name",
       [](const auto& d, auto&) {
         TinyModel other;
         other.seed += 1;
         write_hf_model(other, d.path() / "model");
       },
       "--model was "},
      {"huggingface/lighteval#1364: a single weight",
       [](const auto& d, auto&) { edit_weights(d.path() / "model/model.safetensors"); },
       "the model is not the one that this run has begun with: "},
      {"huggingface/lighteval#1364: a single weight, of the same time",
       [](const auto& d, auto&) {
         const fs::path weights = d.path() / "model/model.safetensors";
         keeping_time(weights, [&] { edit_weights(weights); });
       },
       "model.safetensors has changed ("},
      {"EleutherAI/lm-evaluation-harness#4063, #2715: another model",
       [](const auto& d, auto& second) {
         TinyModel other;
         other.seed += 1;
         write_hf_model(other, d.path() / "other");
         second.model = d.path() / "other";
       },
       "--model was "},
      {"huggingface/datasets#444, NVIDIA-NeMo/RL#2519: another corpus",
       [](const auto& d, auto& second) {
         d.write("other/a.jsonl", row("the cat 1"));
         second.corpus.paths = {d.path() / "other"};
       },
       "--corpus was "},
      {"a key that is read otherwise",
       [](const auto&, auto& second) { second.corpus.text_key = "body"; }, "--text-key was "},
      {"a pattern that now leaves files out",
       [](const auto&, auto& second) { second.corpus.glob = "a*"; }, "--glob was "},
  });
}

}  // namespace
}  // namespace tovamill
