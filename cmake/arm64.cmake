# Toolchain file: 64-bit ARM by Debian's cross compiler, tests under qemu-user. scripts/test-arm64.sh
# unpacks the libraries into GS_ARM64_LIBRARIES.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)

list(APPEND CMAKE_TRY_COMPILE_PLATFORM_VARIABLES GS_ARM64_LIBRARIES)
set(CMAKE_FIND_ROOT_PATH ${GS_ARM64_LIBRARIES} /usr/aarch64-linux-gnu)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
set(ENV{PKG_CONFIG_SYSROOT_DIR} ${GS_ARM64_LIBRARIES})
set(ENV{PKG_CONFIG_LIBDIR}
    ${GS_ARM64_LIBRARIES}/usr/lib/aarch64-linux-gnu/pkgconfig:${GS_ARM64_LIBRARIES}/usr/share/pkgconfig)

set(CMAKE_CXX_FLAGS_INIT "-isystem ${GS_ARM64_LIBRARIES}/usr/include/aarch64-linux-gnu")
set(CMAKE_EXE_LINKER_FLAGS_INIT "-Wl,-rpath-link,${GS_ARM64_LIBRARIES}/usr/lib/aarch64-linux-gnu")
set(CMAKE_CROSSCOMPILING_EMULATOR
    qemu-aarch64;-L;/usr/aarch64-linux-gnu;-E;LD_LIBRARY_PATH=${GS_ARM64_LIBRARIES}/usr/lib/aarch64-linux-gnu)
