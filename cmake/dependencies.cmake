# Libraries, all Debian packages; docs/DEPENDENCIES.md says why each was chosen.
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
find_package(fmt REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(OpenSSL REQUIRED COMPONENTS Crypto)
find_package(CLI11 REQUIRED)
find_package(tl-expected REQUIRED)
pkg_check_modules(ISAL REQUIRED IMPORTED_TARGET libisal)
pkg_check_modules(XXHASH REQUIRED IMPORTED_TARGET libxxhash)
pkg_check_modules(PCRE2 REQUIRED IMPORTED_TARGET libpcre2-8)
pkg_check_modules(URING REQUIRED IMPORTED_TARGET liburing)
pkg_check_modules(ZSTD REQUIRED IMPORTED_TARGET libzstd)
pkg_check_modules(HTTPLIB REQUIRED IMPORTED_TARGET cpp-httplib)
# Vulkan: headers and a compiler for shaders; libvulkan itself is opened at run time, if it is there.
find_path(GS_VOLK_INCLUDE volk.h REQUIRED)
find_program(GS_GLSLC glslc REQUIRED)

set(GS_CORE_LIBRARIES fmt::fmt nlohmann_json::nlohmann_json OpenSSL::Crypto tl::expected
                      PkgConfig::ISAL PkgConfig::XXHASH Threads::Threads)
set(GS_RUNTIME_LIBRARIES PkgConfig::PCRE2)
set(GS_VALIDATE_LIBRARIES PkgConfig::HTTPLIB)
set(GS_CLI_LIBRARIES CLI11::CLI11)
