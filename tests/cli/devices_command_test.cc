// gguf-shard devices, and the program on systems without Vulkan: no loader, and no driver.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "gpu/device.h"
#include "tests/cli/program.h"
#include "tests/support/temporary_directory.h"
#include "tests/support/testdata.h"

namespace gguf_shard {
namespace {

nlohmann::json DevicesJson() {
  const ProgramResult result = RunProgram({"devices", "--json"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.err, "");
  return nlohmann::json::parse(result.out, nullptr, false);
}

TEST(DevicesCommand, ListsEachDeviceWithWhatItOffers) {
  const auto devices = gpu::ListDevices();
  if (devices.empty()) GTEST_SKIP() << "there is no Vulkan device";
  const nlohmann::json listed = DevicesJson().at("devices");
  ASSERT_EQ(listed.size(), devices.size());
  const std::string text = RunProgram({"devices"}).out;
  for (size_t i = 0; i < devices.size(); ++i) {
    EXPECT_EQ(listed[i].at("device"), "vulkan:" + std::to_string(i));
    EXPECT_EQ(listed[i].at("name"), devices[i].name);
    EXPECT_EQ(listed[i].at("type"), gpu::DeviceTypeName(devices[i].type));
    EXPECT_EQ(listed[i].at("usable"), devices[i].usable());
    EXPECT_EQ(listed[i].at("local_memory_bytes"), devices[i].local_memory_bytes);
    EXPECT_EQ(listed[i].at("subgroup_size"), devices[i].subgroup_size);
    EXPECT_EQ(listed[i].contains("refusal"), !devices[i].usable());
    EXPECT_NE(text.find(devices[i].name), std::string::npos);
    EXPECT_NE(text.find("vulkan:" + std::to_string(i)), std::string::npos);
    if (!devices[i].usable()) {
      EXPECT_NE(text.find(devices[i].refusal), std::string::npos);
    }
  }
}

// A loader that cannot be opened: the search finds these files first.
class WithoutVulkan : public ::testing::Test {
 protected:
  void SetUp() override {
    for (const char* name : {"libvulkan.so.1", "libvulkan.so"}) {
      std::ofstream(folder_ / name) << "no library";
    }
    setenv("LD_LIBRARY_PATH", folder_.path().c_str(), 1);
  }
  void TearDown() override { unsetenv("LD_LIBRARY_PATH"); }

  TemporaryDirectory folder_;
};

TEST_F(WithoutVulkan, NoDeviceIsListedAndTheReasonIsSaid) {
  const nlohmann::json json = DevicesJson();
  EXPECT_TRUE(json.at("devices").empty());
  EXPECT_NE(json.at("why_none").get<std::string>().find("no Vulkan loader"), std::string::npos);
  const ProgramResult result = RunProgram({"devices"});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_NE(result.out.find("no Vulkan device: "), std::string::npos) << result.out;
}

TEST_F(WithoutVulkan, TheProcessorRunsAndVulkanIsAnErrorOfItsOwn) {
  const std::string core = folder_ / "core";
  const std::string model = (InTreeDataDir() / "tale-Q4_K_M.gguf").string();
  ASSERT_EQ(RunProgram({"shard", model, "-o", core, "--quiet"}).exit_code, 0);
  const std::vector<std::string> run = {"run", core, "-p", "Once", "-n", "2", "-q", "--device"};
  for (const char* device : {"auto", "cpu"}) {
    std::vector<std::string> arguments = run;
    arguments.emplace_back(device);
    const ProgramResult result = RunProgram(arguments);
    EXPECT_EQ(result.exit_code, 0) << device << ": " << result.err;
    EXPECT_EQ(result.err, "");
  }
  std::vector<std::string> arguments = run;
  arguments.emplace_back("vulkan");
  const ProgramResult result = RunProgram(arguments);
  EXPECT_EQ(result.exit_code, 13);
  EXPECT_NE(result.err.find("no Vulkan loader"), std::string::npos) << result.err;
}

TEST(WithoutADriver, NoDeviceIsListedAndTheReasonIsSaid) {
  if (gpu::ListDevices().empty()) GTEST_SKIP() << "there is no Vulkan device to hide";
  setenv("VK_DRIVER_FILES", "/nonexistent.json", 1);
  setenv("VK_ICD_FILENAMES", "/nonexistent.json", 1);
  const nlohmann::json json = DevicesJson();
  unsetenv("VK_DRIVER_FILES");
  unsetenv("VK_ICD_FILENAMES");
  EXPECT_TRUE(json.at("devices").empty());
  EXPECT_NE(json.at("why_none"), "");
}

}  // namespace
}  // namespace gguf_shard
