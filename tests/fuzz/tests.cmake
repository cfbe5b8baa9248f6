# The fuzz targets, replayed over their corpora.
add_subdirectory(${CMAKE_CURRENT_LIST_DIR})
