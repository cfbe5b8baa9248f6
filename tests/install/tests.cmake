# `cmake --install` gives everything that a user is promised.
if(TARGET gguf-shard)
  add_test(NAME install.gives_everything
           COMMAND ${CMAKE_COMMAND} -DBUILD=${PROJECT_BINARY_DIR} -DSOURCE=${PROJECT_SOURCE_DIR}
                   -DPREFIX=${CMAKE_CURRENT_BINARY_DIR}/installed -DLIBDIR=${CMAKE_INSTALL_LIBDIR}
                   -P ${CMAKE_CURRENT_LIST_DIR}/check_install.cmake)
  set_tests_properties(install.gives_everything PROPERTIES FIXTURES_SETUP installed)
  add_test(NAME install.the_library_serves_others
           COMMAND ${CMAKE_COMMAND} -DSOURCE=${PROJECT_SOURCE_DIR} -DCC=${CMAKE_C_COMPILER}
                   -DPREFIX=${CMAKE_CURRENT_BINARY_DIR}/installed -DLIBDIR=${CMAKE_INSTALL_LIBDIR}
                   -DPKG_CONFIG=${PKG_CONFIG_EXECUTABLE} -DSANITIZE=${GS_SANITIZE}
                   -P ${CMAKE_CURRENT_LIST_DIR}/check_library.cmake)
  set_tests_properties(install.the_library_serves_others PROPERTIES FIXTURES_REQUIRED installed)
endif()
