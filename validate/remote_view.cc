#include "validate/remote_view.h"

#include <fmt/format.h>
#include <httplib.h>

#include <cstring>
#include <mutex>
#include <utility>

#include "core/check.h"

namespace gguf_shard {
namespace {

constexpr time_t kTimeoutSeconds = 30;
constexpr int kPartialContent = 206;
constexpr int kNotFoundStatus = 404;

// Where a file is: the server, and the path on it.
struct Address {
  std::string server;  // "https://host:port"
  std::string path;    // "/folder/model.gguf?download=true"

  // The same with another file name; a query stays.
  std::string PathOf(const std::string& name) const {
    const size_t query = path.find('?');
    const size_t slash = path.rfind('/', query);
    const std::string tail = query == std::string::npos ? "" : path.substr(query);
    return path.substr(0, slash + 1) + name + tail;
  }
};

Result<Address> ParseAddress(const std::string& text) {
  const size_t host = text.find("://") + 3;
  const size_t slash = text.find('/', host);
  if (slash == std::string::npos || slash == host) {
    return Fail(Error(ErrorCode::kInvalidArgument, "the address names no file").File(text));
  }
  return Address{text.substr(0, slash), text.substr(slash)};
}

class RemoteView final : public ModelView {
 public:
  explicit RemoteView(Address address) : address_(std::move(address)), client_(address_.server) {
    client_.set_follow_location(true);
    client_.set_keep_alive(true);
    client_.set_connection_timeout(kTimeoutSeconds);
    client_.set_read_timeout(kTimeoutSeconds);
  }

  Result<void> Open(const MapSource& source) {
    std::vector<ViewFile> files;
    for (size_t i = 0; i < source.files.size(); ++i) {
      const MapSourceFile& entry = source.files[i];
      paths_.push_back(i == 0 ? address_.path : address_.PathOf(entry.name));
      byte_sizes_.push_back(entry.byte_size);
      ViewFile file;
      file.name = entry.name;
      file.byte_size = entry.byte_size;
      std::vector<std::byte> header(entry.header_bytes);
      GS_TRY(Fetch(static_cast<uint32_t>(i), 0, header));
      GS_ASSIGN(file.header, ParseGgufHeader(header, entry.byte_size));
      for (const MapGap& gap : entry.gaps) {
        file.gaps.push_back({gap.source_offset, gap.byte_size});
      }
      files.push_back(std::move(file));
    }
    return SetFiles(std::move(files));
  }

  Result<void> ReadTensor(uint32_t tensor_index, uint64_t offset,
                          std::span<std::byte> target) const override {
    const ViewTensor& tensor = tensors_[tensor_index];
    GS_CHECK(offset + target.size() <= tensor.byte_size);
    return Fetch(tensor.file_index, tensor.offset + offset, target);
  }

  Result<void> ReadGap(uint32_t file_index, const ViewGap& gap, uint64_t offset,
                       std::span<std::byte> target) const override {
    GS_CHECK(offset + target.size() <= gap.byte_size);
    return Fetch(file_index, gap.offset + offset, target);
  }

 private:
  Result<void> Fetch(uint32_t file_index, uint64_t offset, std::span<std::byte> target) const {
    if (target.empty()) return {};
    const std::string name = address_.server + paths_[file_index];
    const auto range = fmt::format("bytes={}-{}", offset, offset + target.size() - 1);
    size_t received = 0;
    int status = 0;
    const std::lock_guard lock(mutex_);
    // A server that sends more than was asked for is cut off.
    const auto response = client_.Get(
        paths_[file_index].c_str(), httplib::Headers{{"Range", range}},
        [&status](const httplib::Response& head) {
          status = head.status;
          return status == kPartialContent;
        },
        [&](const char* bytes, size_t count) {
          if (count > target.size() - received) return false;
          std::memcpy(target.data() + received, bytes, count);
          received += count;
          return true;
        });
    if (response && status == kPartialContent && received == target.size()) {
      return CheckSize(*response, file_index, name);
    }
    return Fail(
        Failure(response.error(), status, name, offset).Expected(target.size()).Found(received));
  }

  // "Content-Range: bytes 0-99/1234" tells the size of the whole file.
  Result<void> CheckSize(const httplib::Response& response, uint32_t file_index,
                         const std::string& name) const {
    const std::string range = response.get_header_value("Content-Range");
    const std::string expected = std::to_string(byte_sizes_[file_index]);
    const size_t slash = range.rfind('/');
    const std::string found = slash == std::string::npos ? "*" : range.substr(slash + 1);
    if (found == expected || found == "*") return {};
    return Fail(Error(ErrorCode::kMismatch, "the file has another size than the source had")
                    .File(name)
                    .Expected(expected)
                    .Found(found.substr(0, 32)));
  }

  static Error Failure(httplib::Error error, int status, const std::string& name, uint64_t offset) {
    if (status == kNotFoundStatus) {
      return Error(ErrorCode::kNotFound, "the server has no such file").File(name);
    }
    if (error != httplib::Error::Success && error != httplib::Error::Canceled) {
      return Error(ErrorCode::kIo, "the server cannot be read: " + httplib::to_string(error))
          .File(name)
          .Offset(offset);
    }
    return Error(ErrorCode::kIo, fmt::format("the server does not send the range that was asked "
                                             "for (status {})",
                                             status))
        .File(name)
        .Offset(offset);
  }

  Address address_;
  mutable std::mutex mutex_;
  mutable httplib::Client client_;
  std::vector<std::string> paths_;
  std::vector<uint64_t> byte_sizes_;
};

}  // namespace

bool IsAddress(std::string_view text) {
  return text.starts_with("http://") || text.starts_with("https://");
}

Result<std::unique_ptr<ModelView>> ViewRemoteGguf(const std::string& address,
                                                  const MapSource& source) {
  GS_ASSIGN(Address parsed, ParseAddress(address));
  auto view = std::make_unique<RemoteView>(std::move(parsed));
  GS_TRY(view->Open(source));
  return view;
}

}  // namespace gguf_shard
