#include "workers/load/shared_weights.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "io/files/file_descriptor.h"
#include "io/model/digest.h"
#include "kernels/types/error.h"
#include "kernels/types/format.h"

// Linux 6.3 and 5.1; the headers of Debian 12's C library do not know the first.
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif
#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

namespace tovamill {
namespace {

constexpr char kName[] = "tovamill-weights";
constexpr std::uint64_t kPage = 65536;  // bytes kept for the header: a page or more everywhere
constexpr std::uint64_t kAlign = 64;

// The start of the file, written by `seal`.
struct Header {
  static constexpr std::uint64_t kMagic = 0x7367657769766f74;  // "tovaiwegs"
  std::uint64_t magic = kMagic;
  std::uint64_t version = 1;
  std::uint64_t identity = 0;
  std::uint64_t n_bytes = 0;  // of the file, the header included
  std::uint64_t n_taken = 0;  // pieces
  std::uint64_t sizes = 0;    // a digest of the pieces' sizes in order
};

std::string text_of_errno() { return std::strerror(errno); }

// A whole file in memory.
class Mapping {
 public:
  Mapping() = default;
  Mapping(int fd, std::uint64_t n_bytes, int protection) {
    void* p = ::mmap(nullptr, n_bytes, protection, MAP_SHARED, fd, 0);
    if (p == MAP_FAILED) return;
    data_ = static_cast<std::byte*>(p);
    n_bytes_ = n_bytes;
    // Fewer misses of the address cache; done only where /sys/kernel/mm/transparent_hugepage/
    // shmem_enabled is "advise", else without effect.
    ::madvise(data_, n_bytes_, MADV_HUGEPAGE);
  }
  Mapping(Mapping&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), n_bytes_(std::exchange(other.n_bytes_, 0)) {}
  Mapping& operator=(Mapping&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(n_bytes_, other.n_bytes_);
    return *this;
  }
  ~Mapping() {
    if (data_ != nullptr) ::munmap(data_, n_bytes_);
  }
  std::byte* data() const { return data_; }
  std::uint64_t size() const { return n_bytes_; }
  void shorten(std::uint64_t n_bytes) {
    if (n_bytes < n_bytes_) ::munmap(data_ + n_bytes, n_bytes_ - n_bytes);
    n_bytes_ = n_bytes;
  }

 private:
  std::byte* data_ = nullptr;
  std::uint64_t n_bytes_ = 0;
};

int make_file() {
  constexpr unsigned kFlags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
  const int fd = ::memfd_create(kName, kFlags | MFD_NOEXEC_SEAL);
  return fd >= 0 || errno != EINVAL ? fd : ::memfd_create(kName, kFlags);
}

// The leader's file, -1 with the reason in `why`. Where the process is another one than the
// leader, its descriptor may be anything: only a file of that name is opened.
int open_file(const WeightsPlace& place, std::string& why) {
  const std::string path = "/proc/" + std::to_string(place.pid) + "/fd/" + std::to_string(place.fd);
  const std::string expected = std::string("/memfd:") + kName;
  char target[256];
  const ssize_t n = ::readlink(path.c_str(), target, sizeof target);
  if (n < 0) {
    why = path + " cannot be read: " + text_of_errno();
    return -1;
  }
  if (!std::string_view(target, static_cast<std::size_t>(n)).starts_with(expected)) {
    why = path + " is another file: the leader is gone, or in another container";
    return -1;
  }
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) why = path + " cannot be opened: " + text_of_errno();
  return fd;
}

}  // namespace

class SharedWeights::Store final : public WeightStore {
 public:
  Store(FileDescriptor file, Mapping memory, Header header, bool is_filled)
      : file_(std::move(file)),
        memory_(std::move(memory)),
        header_(header),
        is_filled_(is_filled) {}

  std::byte* take(std::size_t n_bytes) override {
    const std::uint64_t needed = (static_cast<std::uint64_t>(n_bytes) + kAlign - 1) & ~(kAlign - 1);
    if (needed < n_bytes || needed > memory_.size() - end_) refuse(n_bytes);
    std::byte* piece = memory_.data() + end_;
    end_ += needed;
    n_taken_ += 1;
    sizes_.add(static_cast<std::uint64_t>(n_bytes));
    return piece;
  }
  bool is_filled() const override { return is_filled_; }

  std::uint64_t n_bytes() const { return end_ - kPage; }
  bool all_taken() const {
    return end_ == header_.n_bytes && n_taken_ == header_.n_taken &&
           sizes_.value() == header_.sizes;
  }
  WeightsPlace seal();

 private:
  [[noreturn]] void refuse(std::size_t n_bytes) const {
    const std::string text = "shared weights: a piece of " + with_thousands(n_bytes) +
                             " bytes does not fit the " + with_thousands(memory_.size() - end_) +
                             " that are left: let each process pack its own";
    if (is_filled_) throw Error(ExitCode::internal, text);
    throw OutOfMemory(text);
  }

  FileDescriptor file_;
  Mapping memory_;
  Header header_;  // the leader's, in a copy that nobody can change under us
  bool is_filled_;
  std::uint64_t end_ = kPage;
  std::uint64_t n_taken_ = 0;
  Digest sizes_;
};

WeightsPlace SharedWeights::Store::seal() {
  const auto fail = [](const char* what) {
    throw Error(ExitCode::internal,
                std::string("shared weights: ") + what + " failed: " + text_of_errno());
  };
  header_.n_bytes = end_;
  header_.n_taken = n_taken_;
  header_.sizes = sizes_.value();
  std::memcpy(memory_.data(), &header_, sizeof header_);
  const std::uint64_t whole_pages = (end_ + kPage - 1) / kPage * kPage;
  memory_.shorten(whole_pages);
  if (::ftruncate(file_.get(), static_cast<off_t>(end_)) != 0) fail("trimming");
  if (::mprotect(memory_.data(), memory_.size(), PROT_READ) != 0) fail("mprotect");
  if (::fcntl(file_.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) != 0) fail("sealing");
  // Before Linux 5.1 a process of the same user could still write; ours never does.
  ::fcntl(file_.get(), F_ADD_SEALS, F_SEAL_FUTURE_WRITE);
  is_filled_ = true;
  return {.pid = static_cast<std::int32_t>(::getpid()),
          .fd = file_.get(),
          .n_bytes = end_,
          .identity = header_.identity};
}

SharedWeights::SharedWeights(std::unique_ptr<Store> store) : store_(std::move(store)) {}
SharedWeights::~SharedWeights() = default;
WeightStore& SharedWeights::store() { return *store_; }
WeightsPlace SharedWeights::seal() { return store_->seal(); }
bool SharedWeights::all_taken() const { return store_->all_taken(); }
std::uint64_t SharedWeights::n_bytes() const { return store_->n_bytes(); }

std::unique_ptr<SharedWeights> SharedWeights::create(std::uint64_t most_bytes,
                                                     std::uint64_t identity) {
  const auto refuse = [&](const char* what) {
    throw OutOfMemory("shared weights: " + std::string(what) + " for " +
                      with_thousands(most_bytes) + " bytes failed: " + text_of_errno());
  };
  const std::uint64_t n_bytes = kPage + (most_bytes + kPage - 1) / kPage * kPage;
  FileDescriptor file(make_file());
  if (file.get() < 0) refuse("memfd_create");
  if (::ftruncate(file.get(), static_cast<off_t>(n_bytes)) != 0) refuse("ftruncate");
  Mapping memory(file.get(), n_bytes, PROT_READ | PROT_WRITE);
  if (memory.data() == nullptr) refuse("mmap");
  return std::unique_ptr<SharedWeights>(new SharedWeights(std::make_unique<Store>(
      std::move(file), std::move(memory), Header{.identity = identity}, false)));
}

std::unique_ptr<SharedWeights> SharedWeights::attach(const WeightsPlace& place,
                                                     std::uint64_t identity, std::string& why) {
  const auto refuse = [&](std::string reason) {
    why = std::move(reason);
    return nullptr;
  };
  if (place.pid <= 0 || place.fd < 0) return refuse("no rank of this host shares its weights");
  if (place.identity != identity)
    return refuse("the leader has other weights, or packs them in another way");
  const FileDescriptor file(open_file(place, why));
  if (file.get() < 0) return nullptr;
  struct stat status {};
  if (::fstat(file.get(), &status) != 0) return refuse("fstat failed: " + text_of_errno());
  const auto size = static_cast<std::uint64_t>(status.st_size);
  if (size != place.n_bytes || size < kPage)
    return refuse("the leader's file has " + with_thousands(size) + " bytes, not " +
                  with_thousands(place.n_bytes));
  // A file that can be shortened could end this process by SIGBUS.
  if (const int seals = ::fcntl(file.get(), F_GET_SEALS); seals < 0 || !(seals & F_SEAL_SHRINK))
    return refuse("the leader's file is not sealed");
  Mapping memory(file.get(), size, PROT_READ);
  if (memory.data() == nullptr) return refuse("mmap failed: " + text_of_errno());
  Header header;
  std::memcpy(&header, memory.data(), sizeof header);
  const Header known{};
  if (header.magic != known.magic || header.version != known.version)
    return refuse("the leader's file is of another format");
  if (header.identity != identity || header.n_bytes != size)
    return refuse("the leader's file holds other weights");
  return std::unique_ptr<SharedWeights>(new SharedWeights(
      std::make_unique<Store>(FileDescriptor(), std::move(memory), header, true)));
}

}  // namespace tovamill
