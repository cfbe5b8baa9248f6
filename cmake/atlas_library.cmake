# libgguf_shard_atlas: the atlas as a shared C library (include/gguf_shard/atlas.h). It contains the
# modules that it needs, and exports the functions of the header and nothing else.
foreach(module core gpu atlas)
  set_target_properties(gs_${module} PROPERTIES POSITION_INDEPENDENT_CODE ON
                                                CXX_VISIBILITY_PRESET hidden
                                                VISIBILITY_INLINES_HIDDEN ON)
endforeach()

file(GLOB capi_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/atlas/capi/*.cc)
add_library(gguf_shard_atlas SHARED ${capi_sources})
add_library(gguf-shard::atlas ALIAS gguf_shard_atlas)
target_link_libraries(gguf_shard_atlas PRIVATE gs_options gs_atlas)
target_link_options(gguf_shard_atlas PRIVATE
                    -Wl,--version-script=${PROJECT_SOURCE_DIR}/atlas/capi/exports.map)
set_property(TARGET gguf_shard_atlas APPEND PROPERTY LINK_DEPENDS
                                                     ${PROJECT_SOURCE_DIR}/atlas/capi/exports.map)
target_include_directories(gguf_shard_atlas
                           INTERFACE $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
                                     $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
set_target_properties(gguf_shard_atlas PROPERTIES VERSION ${PROJECT_VERSION} SOVERSION 0
                                                  EXPORT_NAME atlas
                                                  CXX_VISIBILITY_PRESET hidden
                                                  VISIBILITY_INLINES_HIDDEN ON)

# Installed with files for pkg-config and for find_package(gguf-shard).
include(CMakePackageConfigHelpers)
# From the folder of the .pc file to the prefix: the library folder may have several parts.
file(RELATIVE_PATH GS_PC_TO_PREFIX /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
configure_file(cmake/gguf-shard-atlas.pc.in ${PROJECT_BINARY_DIR}/gguf-shard-atlas.pc @ONLY)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/gguf-shard-config-version.cmake
                                 COMPATIBILITY SameMinorVersion)
set(GS_CMAKE_FOLDER ${CMAKE_INSTALL_LIBDIR}/cmake/gguf-shard)
install(TARGETS gguf_shard_atlas EXPORT gguf-shard LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(EXPORT gguf-shard NAMESPACE gguf-shard:: FILE gguf-shard-config.cmake
        DESTINATION ${GS_CMAKE_FOLDER})
install(FILES ${PROJECT_BINARY_DIR}/gguf-shard-config-version.cmake DESTINATION ${GS_CMAKE_FOLDER})
install(FILES ${PROJECT_BINARY_DIR}/gguf-shard-atlas.pc
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
