// Damage of every kind, repaired from every kind of copy: the file is again what it was, bit for
// bit, or what could not be repaired is listed.
#include "validate/repair.h"

#include <gtest/gtest.h>
#include <httplib.h>

#include <fstream>
#include <thread>

#include "core/core_file.h"
#include "delta/create.h"
#include "forge/shard.h"
#include "forge/verify.h"
#include "tests/delta/synthetic_model.h"
#include "tests/support/temporary_directory.h"
#include "validate/crash_check.h"

namespace gguf_shard {
namespace {

namespace fs = std::filesystem;

constexpr CoreId kId{std::byte{7}};
constexpr CoreId kOtherId{std::byte{8}};

class RepairTest : public testing::Test {
 protected:
  RepairTest() {
    model_ = MakeModel(91);
    WriteModel(model_, source_);
    Shard(source_, dir_ / "core", kId);
    good_core_ = ReadAll(core_);
    good_map_ = ReadAll(map_);
  }

  static void Shard(const fs::path& gguf, const fs::path& folder, const CoreId& id) {
    NoProgress progress;
    ShardOptions options;
    options.output_directory = folder;
    options.core_id = id;
    const auto sharded = ShardModel(gguf, options, progress);
    ASSERT_TRUE(sharded) << sharded.error().ToString();
  }

  static void WriteFile(const fs::path& path, std::string_view bytes) {
    std::ofstream(path, std::ios::binary).write(bytes.data(), static_cast<long>(bytes.size()));
  }

  CoreMap Map() const { return *ParseMap(good_map_); }
  uint64_t PageOffset(uint64_t page) const { return Map().core.data_offset + page * kPageBytes; }

  void FlipBit(uint64_t offset) {
    std::string bytes = ReadAll(core_);
    bytes[offset] = static_cast<char>(bytes[offset] ^ 4);
    WriteFile(core_, bytes);
  }

  Result<RepairReport> Repair(const std::string& from, std::vector<fs::path> patches = {}) {
    NoProgress progress;
    return RepairCore(dir_ / "core", {from, std::move(patches)}, progress);
  }

  RepairReport RepairWhole(const std::string& from, std::vector<fs::path> patches = {}) {
    const auto report = Repair(from, std::move(patches));
    EXPECT_TRUE(report.has_value()) << report.error().ToString();
    if (!report) return {};
    EXPECT_TRUE(report->complete());
    EXPECT_TRUE(report->written);
    EXPECT_EQ(ReadAll(core_), good_core_);
    EXPECT_EQ(ReadAll(map_), good_map_);
    return *report;
  }

  TemporaryDirectory dir_;
  fs::path source_ = dir_ / "model.gguf";
  fs::path core_ = dir_ / "core" / "core.gguf";
  fs::path map_ = dir_ / "core" / "core.sgmap";
  SyntheticModel model_;
  std::string good_core_;
  std::string good_map_;
};

TEST_F(RepairTest, AnIntactCoreIsLeftAlone) {
  const auto before = fs::last_write_time(core_);
  const auto report = Repair(source_);
  ASSERT_TRUE(report);
  EXPECT_FALSE(report->written);
  EXPECT_EQ(report->bad_page_count, 0u);
  EXPECT_EQ(fs::last_write_time(core_), before);
}

TEST_F(RepairTest, OnePageOfATensorComesFromTheSource) {
  const CoreMap map = Map();
  const MapTensor& tensor = map.tensors[2];
  FlipBit(PageOffset(tensor.first_page) + 100);
  const RepairReport report = RepairWhole(source_);
  ASSERT_EQ(report.repaired.size(), 1u);
  EXPECT_EQ(report.repaired[0].owner, tensor.name);
  EXPECT_EQ(report.repaired[0].pages.first_page, tensor.first_page);
  EXPECT_EQ(report.repaired[0].pages.page_count, 1u);
  EXPECT_FALSE(report.header_restored);
  EXPECT_FALSE(report.index_restored);
}

TEST_F(RepairTest, EveryPageButTheIndexCanBeMadeAnew) {
  const CoreMap map = Map();
  std::string bytes = good_core_;
  for (uint64_t page = 0; page < map.core.index.first_page; ++page) bytes[PageOffset(page)] ^= 1;
  WriteFile(core_, bytes);
  EXPECT_EQ(RepairWhole(source_).bad_page_count, map.core.index.first_page);
}

TEST_F(RepairTest, ADamagedIndexIsMadeFromThePages) {
  FlipBit(PageOffset(Map().core.index.first_page) + 9);
  const RepairReport report = RepairWhole(source_);
  EXPECT_TRUE(report.index_restored);
  EXPECT_TRUE(report.repaired.empty());
  EXPECT_EQ(report.bad_page_count, 1u);
}

TEST_F(RepairTest, ADamagedIndexAndAnOldPageAreBothFound) {
  const CoreMap map = Map();
  const uint64_t page_index = map.tensors[1].first_page;
  std::string bytes = good_core_;
  const auto page = PageAt(reinterpret_cast<std::byte*>(bytes.data()) + PageOffset(page_index), 0);
  page[5] ^= std::byte{1};
  SealPage(map.core.id, page_index, page);  // valid, but not what the index lists
  bytes[PageOffset(map.core.index.first_page)] ^= 1;
  WriteFile(core_, bytes);
  const RepairReport report = RepairWhole(source_);
  ASSERT_EQ(report.repaired.size(), 1u);
  EXPECT_EQ(report.repaired[0].pages.first_page, page_index);
}

TEST_F(RepairTest, AnOldVersionOfAPageIsReplaced) {
  const CoreMap map = Map();
  const uint64_t page_index = map.tensors[1].first_page;
  std::string bytes = good_core_;
  const auto page = PageAt(reinterpret_cast<std::byte*>(bytes.data()) + PageOffset(page_index), 0);
  page[5] ^= std::byte{1};
  SealPage(map.core.id, page_index, page);
  WriteFile(core_, bytes);
  EXPECT_EQ(RepairWhole(source_).bad_page_count, 1u);
}

TEST_F(RepairTest, ATruncatedFileIsCompleted) {
  fs::resize_file(core_, good_core_.size() / 2 + 123);
  EXPECT_TRUE(RepairWhole(source_).header_restored);
  fs::resize_file(core_, 10);
  EXPECT_TRUE(RepairWhole(source_).index_restored);
}

TEST_F(RepairTest, TheHeaderComesFromAMapThatIsProven) {
  FlipBit(0);
  EXPECT_TRUE(RepairWhole(source_).header_restored);
}

TEST_F(RepairTest, AMapThatDisagreesAndIsNotProvenIsRefused) {
  // Two tensors of one shape change places.
  model_.tensors.push_back(MakeTensor("twin.a", TensorType::kQ8_0, {64, 32}, 1));
  model_.tensors.push_back(MakeTensor("twin.b", TensorType::kQ8_0, {64, 32}, 2));
  WriteModel(model_, source_);
  fs::remove_all(dir_ / "core");
  Shard(source_, dir_ / "core", kId);
  CoreMap map = *ParseMap(ReadAll(map_));
  std::vector<MapTensor*> twins;
  for (MapTensor& tensor : map.tensors) {
    if (tensor.name.starts_with("twin.")) twins.push_back(&tensor);
  }
  ASSERT_EQ(twins.size(), 2u);
  std::swap(twins[0]->first_page, twins[1]->first_page);
  WriteFile(map_, SerializeMap(map));
  FlipBit(PageOffset(0));
  const auto report = Repair(source_);
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().code(), ErrorCode::kMismatch);
}

TEST_F(RepairTest, ADamagedMapComesFromACopyOfTheCore) {
  fs::copy(dir_ / "core", dir_ / "copy");
  WriteFile(map_, good_map_.substr(0, good_map_.size() / 2));
  FlipBit(PageOffset(3));
  EXPECT_TRUE(RepairWhole(dir_ / "copy").map_restored);
  WriteFile(map_, "not a map");
  const auto report = Repair(source_);
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().code(), ErrorCode::kMalformed);
}

TEST_F(RepairTest, ACoreWithAnotherIdServesToo) {
  Shard(source_, dir_ / "other", kOtherId);
  FlipBit(PageOffset(Map().tensors[0].first_page));
  EXPECT_EQ(RepairWhole(dir_ / "other").bad_page_count, 1u);
}

TEST_F(RepairTest, ABaseWithItsPatchServesToo) {
  SyntheticModel base = model_;
  for (auto& tensor : base.tensors) tensor.bytes[3] ^= std::byte{1};
  WriteModel(base, dir_ / "base.gguf");
  NoProgress progress;
  const auto base_model = OpenModel(dir_ / "base.gguf");
  const auto target_model = OpenModel(source_);
  ASSERT_TRUE(base_model && target_model);
  ASSERT_TRUE(
      CreatePatch(*base_model->view, *target_model->view, dir_ / "p.sgdelta", {}, progress));
  FlipBit(PageOffset(Map().tensors[4].first_page) + 8);
  // The base alone has other bytes there, or none that fit.
  const auto without = Repair(dir_ / "base.gguf");
  EXPECT_TRUE(!without || !without->complete() || without->written);
  EXPECT_EQ(RepairWhole(dir_ / "base.gguf", {dir_ / "p.sgdelta"}).bad_page_count, 1u);
}

TEST_F(RepairTest, WhatTheCopyHasNotIsListedAndTheRestRepaired) {
  const CoreMap map = Map();
  SyntheticModel other = model_;
  const auto found = std::find_if(other.tensors.begin(), other.tensors.end(),
                                  [&](const auto& t) { return t.name == map.tensors[1].name; });
  found->bytes[0] ^= std::byte{1};
  WriteModel(other, dir_ / "other.gguf");
  FlipBit(PageOffset(map.tensors[1].first_page));
  FlipBit(PageOffset(map.tensors[2].first_page));
  const auto report = Repair(dir_ / "other.gguf");
  ASSERT_TRUE(report) << report.error().ToString();
  ASSERT_EQ(report->unrepaired.size(), 1u);
  EXPECT_EQ(report->unrepaired[0].owner, map.tensors[1].name);
  EXPECT_EQ(report->unrepaired[0].reason, "the copy has other bytes there");
  ASSERT_EQ(report->repaired.size(), 1u);
  EXPECT_EQ(report->repaired[0].owner, map.tensors[2].name);
  EXPECT_TRUE(report->written);
  RepairWhole(source_);
}

TEST_F(RepairTest, AnotherModelIsRefused) {
  WriteModel(EditModel(MakeModel(5), *std::make_unique<std::mt19937_64>(3)), dir_ / "alien.gguf");
  FlipBit(PageOffset(1));
  const std::string damaged = ReadAll(core_);
  const auto report = Repair(dir_ / "alien.gguf");
  EXPECT_TRUE(!report || !report->written);
  EXPECT_EQ(ReadAll(core_), damaged);
}

TEST_F(RepairTest, ACrashLeavesTheOldCoreOrTheRepairedOne) {
  FlipBit(PageOffset(Map().tensors[3].first_page) + 1);
  fs::create_directories(dir_ / "pristine");
  fs::copy(dir_ / "core", dir_ / "pristine" / "core");
  const std::string damaged = ReadAll(core_);
  CrashScenario scenario;
  scenario.name = "repair";
  scenario.pristine = dir_ / "pristine";
  scenario.act = [&](const fs::path& work) -> Result<void> {
    NoProgress progress;
    GS_TRY(RepairCore(work / "core", {source_, {}}, progress));
    return {};
  };
  scenario.restart = [](const fs::path&) -> Result<void> { return {}; };
  scenario.identify = [&](const fs::path& work, std::string& found) {
    const auto opened = CoreFile::Open(work / "core");
    found = opened ? "other bytes" : opened.error().ToString();
    if (!opened) return CrashState::kNeither;
    const std::string bytes = ReadAll(work / "core" / "core.gguf");
    if (bytes == damaged) return CrashState::kOld;
    return bytes == good_core_ ? CrashState::kNew : CrashState::kNeither;
  };
  const auto report = CheckCrashes(scenario, dir_ / "work", {});
  ASSERT_TRUE(report) << report.error().ToString();
  for (const CrashFailure& failure : report->failures) {
    ADD_FAILURE() << "crashed at change " << failure.crash_at << ": " << failure.found;
  }
  EXPECT_GT(report->ended_old, 0u);
  EXPECT_GT(report->ended_new, 0u);
}

// A web server on this machine that has the source.
class WebServer {
 public:
  explicit WebServer(const fs::path& folder) {
    server_.set_mount_point("/models", folder.string());
    server_.Get("/moved/model.gguf", [](const httplib::Request&, httplib::Response& response) {
      response.set_redirect("/models/model.gguf");
    });
    server_.Get("/whole/model.gguf",
                [folder](const httplib::Request&, httplib::Response& response) {
                  response.set_content(ReadAll(folder / "model.gguf"), "application/octet-stream");
                  response.status = 200;
                });
    port_ = server_.bind_to_any_port("127.0.0.1");
    thread_ = std::thread([this] { server_.listen_after_bind(); });
    while (!server_.is_running()) std::this_thread::yield();
  }
  ~WebServer() {
    server_.stop();
    thread_.join();
  }
  std::string Address(const std::string& path) const {
    return "http://127.0.0.1:" + std::to_string(port_) + path;
  }

 private:
  httplib::Server server_;
  int port_ = 0;
  std::thread thread_;
};

TEST_F(RepairTest, TheSourceMayLieOnAWebServer) {
  const WebServer server(dir_.path());
  FlipBit(PageOffset(Map().tensors[2].first_page) + 77);
  FlipBit(PageOffset(0) + 10);  // the source's header
  EXPECT_EQ(RepairWhole(server.Address("/models/model.gguf")).bad_page_count, 2u);
  FlipBit(PageOffset(Map().tensors[2].first_page) + 77);
  EXPECT_EQ(RepairWhole(server.Address("/moved/model.gguf")).bad_page_count, 1u);
}

TEST_F(RepairTest, AServerThatFailsIsAnError) {
  std::string absent;
  {
    const WebServer server(dir_.path());
    FlipBit(PageOffset(2));
    const auto missing = Repair(server.Address("/models/none.gguf"));
    ASSERT_FALSE(missing);
    EXPECT_EQ(missing.error().code(), ErrorCode::kNotFound);
    const auto whole = Repair(server.Address("/whole/model.gguf"));
    EXPECT_TRUE(!whole || whole->complete());
    const auto nothing = Repair("http://127.0.0.1");
    ASSERT_FALSE(nothing);
    EXPECT_EQ(nothing.error().code(), ErrorCode::kInvalidArgument);
    absent = server.Address("/models/model.gguf");
    fs::resize_file(source_, fs::file_size(source_) + 1);
    const auto longer = Repair(absent);
    ASSERT_FALSE(longer);
    EXPECT_EQ(longer.error().code(), ErrorCode::kMismatch);
  }
  FlipBit(PageOffset(3));
  const auto stopped = Repair(absent);
  ASSERT_FALSE(stopped);
  EXPECT_EQ(stopped.error().code(), ErrorCode::kIo);
}

}  // namespace
}  // namespace gguf_shard
