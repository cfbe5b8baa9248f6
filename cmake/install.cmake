# What `cmake --install` gives, and the .deb that `cpack` makes of it. Paths are relative to the
# prefix: /usr/local by default, /usr in the package.
include(GNUInstallDirs)

if(TARGET gguf-shard)
  install(TARGETS gguf-shard RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
  install(FILES docs/man/gguf-shard.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
  install(FILES cli/completions/gguf-shard.bash RENAME gguf-shard
          DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
  install(FILES cli/completions/gguf-shard.fish
          DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d)
  # Where zsh looks depends on the prefix: Debian keeps packages and the administrator's own apart.
  install(CODE "
    set(folder site-functions)
    if(CMAKE_INSTALL_PREFIX STREQUAL \"/usr\")
      set(folder vendor-completions)
    endif()
    file(INSTALL \"${PROJECT_SOURCE_DIR}/cli/completions/_gguf-shard\"
         DESTINATION \"\${CMAKE_INSTALL_PREFIX}/share/zsh/\${folder}\")")
endif()

# The public C header(s), beside the library that implements them.
if(EXISTS ${PROJECT_SOURCE_DIR}/include/gguf_shard)
  install(DIRECTORY include/gguf_shard DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
          FILES_MATCHING PATTERN "*.h")
endif()
install(DIRECTORY schemas DESTINATION ${CMAKE_INSTALL_DATADIR}/gguf-shard
        FILES_MATCHING PATTERN "*.json")
install(FILES README.md CHANGELOG.md DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(FILES LICENSE RENAME copyright DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(DIRECTORY docs/ DESTINATION ${CMAKE_INSTALL_DOCDIR}/docs
        FILES_MATCHING PATTERN "*.md" PATTERN man EXCLUDE)

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME gguf-shard)
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION})
set(CPACK_PACKAGE_CONTACT "The gguf-shard authors <gguf-shard@localhost>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "GGUF models as verified pages, run within a memory budget")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION science)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_DESCRIPTION
    "gguf-shard cuts a GGUF model, once and offline, into verified 4 KB pages. It runs
the model inside a memory budget that is never exceeded, reading pages from disk
as they are needed, and gives the original files back bit for bit.")
include(CPack)
