# zlib is the reference that the page tag is tested against.
if(TARGET core_test)
  find_package(ZLIB REQUIRED)
  target_link_libraries(core_test PRIVATE ZLIB::ZLIB)
endif()
