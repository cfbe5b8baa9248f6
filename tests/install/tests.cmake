# `cmake --install` gives everything that a user is promised.
if(TARGET gguf-shard)
  add_test(NAME install.gives_everything
           COMMAND ${CMAKE_COMMAND} -DBUILD=${PROJECT_BINARY_DIR} -DSOURCE=${PROJECT_SOURCE_DIR}
                   -DPREFIX=${CMAKE_CURRENT_BINARY_DIR}/installed
                   -P ${CMAKE_CURRENT_LIST_DIR}/check_install.cmake)
endif()
