#include "io/results/journal.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <random>
#include <thread>

#include "io/files/durable.h"
#include "kernels/types/error.h"
#include "tests/support/temporary_directory.h"

namespace tovamill {
namespace {

using testing::TemporaryDirectory;

std::span<const std::byte> bytes_of(std::string_view s) { return std::as_bytes(std::span(s)); }

std::string text_of(std::span<const std::byte> b) {
  return std::string(reinterpret_cast<const char*>(b.data()), b.size());
}

using Records = std::vector<std::pair<JournalEntry, std::string>>;

Records read_records(const std::string& path, std::uint64_t* n_ignored = nullptr) {
  Records records;
  const std::uint64_t n =
      read_journal(path, [&](JournalEntry kind, std::span<const std::byte> payload) {
        records.emplace_back(kind, text_of(payload));
      });
  if (n_ignored) *n_ignored = n;
  return records;
}

const Records kSome{{JournalEntry::header, "{\"a\":1}"},
                    {JournalEntry::document, std::string("one\0two", 7)},
                    {JournalEntry::document, ""},
                    {JournalEntry::document, std::string(3000, 'x')},
                    {JournalEntry::footer, "{}"}};

std::string write_some(const TemporaryDirectory& d) {
  const std::string path = d.path() / "0-1.log";
  JournalWriter writer(path);
  for (const auto& [kind, payload] : kSome) writer.append(kind, bytes_of(payload));
  writer.sync();
  EXPECT_EQ(writer.n_bytes(), std::filesystem::file_size(path));
  return path;
}

ExitCode code_of(const std::function<void()>& act, std::string* text = nullptr) {
  try {
    act();
  } catch (const Error& e) {
    if (text) *text = e.what();
    return e.code();
  }
  return ExitCode::done;
}

TEST(Crc32c, EqualsRfc3720) {
  const auto check = [](std::string_view s, std::uint32_t expected) {
    EXPECT_EQ(crc32c(bytes_of(s)), expected);
    EXPECT_EQ(crc32c_by_tables(bytes_of(s)), expected);
  };
  check("", 0);
  check("123456789", 0xe3069283);
  check(std::string(32, '\0'), 0x8a9136aa);
  check(std::string(32, '\xff'), 0x62a8ab43);
}

TEST(Crc32c, ContinuesAndAgreesWithTheTables) {
  std::mt19937 random(1);
  std::string s(257, '\0');
  for (char& c : s) c = static_cast<char>(random());
  for (std::size_t n = 0; n <= s.size(); ++n) {
    const std::string_view front = std::string_view(s).substr(0, n),
                           back = std::string_view(s).substr(n);
    EXPECT_EQ(crc32c(bytes_of(back), crc32c(bytes_of(front))), crc32c(bytes_of(s)));
    EXPECT_EQ(crc32c_by_tables(bytes_of(front)), crc32c(bytes_of(front)));
  }
}

TEST(Journal, ReadsBackWhatWasWritten) {
  TemporaryDirectory d;
  std::uint64_t ignored = 1;
  EXPECT_EQ(read_records(write_some(d), &ignored), kSome);
  EXPECT_EQ(ignored, 0u);
}

TEST(Journal, TornAtEveryByteKeepsTheRecordsBefore) {
  TemporaryDirectory d;
  const std::string whole = testing::content_of(write_some(d));
  std::vector<std::size_t> ends{0};
  for (const auto& [kind, payload] : kSome) ends.push_back(ends.back() + 20 + payload.size());
  ASSERT_EQ(ends.back(), whole.size());
  for (std::size_t cut = 0; cut <= whole.size(); ++cut) {
    const std::string path = d.write("torn.log", whole.substr(0, cut));
    std::uint64_t ignored = 0;
    const Records records = read_records(path, &ignored);
    std::size_t n = 0;
    while (n + 1 < ends.size() && ends[n + 1] <= cut) ++n;
    ASSERT_EQ(records.size(), n) << cut;
    ASSERT_TRUE(std::equal(records.begin(), records.end(), kSome.begin()));
    ASSERT_EQ(ignored, cut - ends[n]);
  }
}

TEST(Journal, DamagedAtAnyByteStopsThere) {
  TemporaryDirectory d;
  const std::string whole = testing::content_of(write_some(d));
  std::vector<std::size_t> ends{0};
  for (const auto& [kind, payload] : kSome) ends.push_back(ends.back() + 20 + payload.size());
  for (std::size_t at = 0; at < whole.size(); ++at) {
    for (const char flip : {'\x01', '\x80', '\xff'}) {
      std::string bytes = whole;
      bytes[at] = static_cast<char>(bytes[at] ^ flip);
      std::size_t n = 0;
      while (ends[n + 1] <= at) ++n;
      ASSERT_EQ(read_records(d.write("damaged.log", bytes)).size(), n) << at;
    }
  }
}

TEST(Journal, DoesNotBelieveALength) {
  TemporaryDirectory d;
  std::string head("TVJ1\x02\0\0\0\xff\xff\xff\xff\xff\xff\xff\x7f\0\0\0\0", 20);
  std::uint64_t ignored = 0;
  EXPECT_TRUE(read_records(d.write("x.log", head + "abc"), &ignored).empty());
  EXPECT_EQ(ignored, 23u);
  EXPECT_TRUE(read_records(d.write("y.log", std::string(1000, '\0'))).empty());
}

TEST(Journal, GivesARecordAgainByItsPosition) {
  TemporaryDirectory d;
  const std::string path = write_some(d);
  JournalReader reader(path);
  std::vector<std::uint64_t> positions;
  while (reader.next()) positions.push_back(reader.position());
  ASSERT_EQ(positions.size(), kSome.size());
  for (std::size_t i = positions.size(); i-- > 0;) {
    reader.read(positions[i]);
    EXPECT_EQ(text_of(reader.payload()), kSome[i].second);
    EXPECT_EQ(reader.kind(), kSome[i].first);
  }
  EXPECT_THROW(reader.read(1), BadData);
  EXPECT_THROW(reader.read(1u << 30), BadData);
}

TEST(Journal, IsNeverSharedOrTakenOver) {
  TemporaryDirectory d;
  const std::string path = write_some(d);
  EXPECT_EQ(code_of([&] { JournalWriter again(path); }), ExitCode::cannot_create);
  EXPECT_EQ(code_of([&] { JournalWriter nowhere((d.path() / "none" / "0-1.log").string()); }),
            ExitCode::cannot_create);
  EXPECT_EQ(code_of([&] { read_records(d.path() / "missing.log"); }), ExitCode::no_input);
}

TEST(Journal, OutlivesTheDeathOfItsProcess) {
  TemporaryDirectory d;
  const std::string path = d.path() / "0-1.log";
  const pid_t child = fork();
  if (child == 0) {
    JournalWriter writer(path);
    writer.append(JournalEntry::header, bytes_of("kept"));
    kill(getpid(), SIGKILL);
  }
  int status = 0;
  waitpid(child, &status, 0);
  ASSERT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(read_records(path), (Records{{JournalEntry::header, "kept"}}));
}

TEST(Journal, FramesMadeInAdvanceAreRecords) {
  TemporaryDirectory d;
  const std::string path = d.path() / "0-1.log";
  JournalWriter writer(path);
  const std::vector<std::byte> crash = JournalWriter::frame(JournalEntry::crash, bytes_of("why"));
  writer.append(JournalEntry::header, bytes_of("kept"));
  ASSERT_EQ(write(writer.descriptor(), crash.data(), crash.size()),
            static_cast<ssize_t>(crash.size()));
  EXPECT_EQ(read_records(path),
            (Records{{JournalEntry::header, "kept"}, {JournalEntry::crash, "why"}}));
}

// A signal in the middle of a write makes it short, or fail with EINTR where nothing was written
// yet: a pipe that is read in small sips, under a timer, does both.
TEST(Journal, GoesOnAfterShortAndInterruptedWrites) {
  TemporaryDirectory d;
  JournalWriter writer((d.path() / "0-1.log").string());
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  ASSERT_GE(dup2(ends[1], writer.descriptor()), 0);
  close(ends[1]);
  static volatile sig_atomic_t n_signals;
  n_signals = 0;
  struct sigaction counting {
  }, before{};
  counting.sa_handler = [](int) { n_signals = n_signals + 1; };  // without SA_RESTART
  sigaction(SIGALRM, &counting, &before);
  sigset_t alarm_only;
  sigemptyset(&alarm_only);
  sigaddset(&alarm_only, SIGALRM);
  pthread_sigmask(SIG_BLOCK, &alarm_only, nullptr);
  std::string got;
  std::thread reader([&] {  // blocks the signal, so that the writer gets it
    char sip[5000];
    for (ssize_t n = 0; (n = read(ends[0], sip, sizeof sip)) > 0;) {
      got.append(sip, static_cast<std::size_t>(n));
      std::this_thread::sleep_for(std::chrono::microseconds(100));
    }
  });
  pthread_sigmask(SIG_UNBLOCK, &alarm_only, nullptr);
  const itimerval every{{0, 500}, {0, 500}}, never{};
  setitimer(ITIMER_REAL, &every, nullptr);
  std::string expected;
  for (int i = 0; i < 10 || n_signals < 20; ++i) {
    const std::string payload(300000, static_cast<char>('a' + i % 26));
    writer.append(JournalEntry::document, bytes_of(payload));
    for (const std::byte b : JournalWriter::frame(JournalEntry::document, bytes_of(payload)))
      expected += static_cast<char>(b);
  }
  setitimer(ITIMER_REAL, &never, nullptr);
  sigaction(SIGALRM, &before, nullptr);
  close(writer.descriptor());
  reader.join();
  close(ends[0]);
  EXPECT_TRUE(got == expected);
  EXPECT_EQ(writer.n_bytes(), expected.size());
  dup2(STDERR_FILENO, writer.descriptor());  // for the writer to close
}

// A file system of 64 KiB, where this process may mount one.
class SmallDisk {
 public:
  explicit SmallDisk(const std::string& at) : at_(at) {
    std::filesystem::create_directories(at);
    mounted_ = mount("tmpfs", at.c_str(), "tmpfs", 0, "size=64k") == 0;
  }
  ~SmallDisk() {
    if (mounted_) umount(at_.c_str());
  }
  bool mounted() const { return mounted_; }

 private:
  std::string at_;
  bool mounted_ = false;
};

TEST(Journal, OnAFullDiskSaysWhatToDoAndKeepsWhatItHolds) {
  TemporaryDirectory d;
  SmallDisk disk(d.path() / "small");
  if (!disk.mounted()) GTEST_SKIP() << "this process may not mount a small file system";
  const std::string path = d.path() / "small" / "0-1.log";
  JournalWriter writer(path);
  const std::string payload(5000, 'x');
  std::size_t n = 0;
  std::string text;
  const auto fill = [&] {
    for (;; ++n) writer.append(JournalEntry::document, bytes_of(payload));
  };
  EXPECT_EQ(code_of(fill, &text), ExitCode::io);
  EXPECT_NE(text.find(path), std::string::npos);
  EXPECT_NE(text.find("free some space"), std::string::npos) << text;
  EXPECT_GT(n, 5u);
  EXPECT_EQ(code_of([&] { writer.append(JournalEntry::footer, {}); }), ExitCode::io);
  EXPECT_EQ(read_records(path).size(), n);
}

TEST(Durable, ReplacesAFileWhole) {
  TemporaryDirectory d;
  const std::string path = d.path() / "status.json";
  write_file_durably(path, "one");
  write_file_durably(path, "two");
  EXPECT_EQ(testing::content_of(path), "two");
  EXPECT_FALSE(std::filesystem::exists(path + ".tmp"));
  EXPECT_EQ(code_of([&] { write_file_durably(d.path() / "none" / "x", ""); }),
            ExitCode::cannot_create);
  EXPECT_EQ(code_of([&] { rename_durably(d.path() / "none", path); }), ExitCode::io);
}

TEST(Durable, SaysWhatToDoOnAFullDisk) {
  EXPECT_NE(why_io_failed(ENOSPC).find("free some space"), std::string::npos);
  EXPECT_EQ(why_io_failed(EIO).find("free some space"), std::string::npos);
}

}  // namespace
}  // namespace tovamill
