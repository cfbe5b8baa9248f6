# Code for wide instruction sets must not leak into functions that other sources share: in the objects
# of such a source, every symbol that a linker may pick for others carries the set's namespace.
if(TARGET gs_kernels AND CMAKE_NM AND CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64)$")
  add_test(NAME kernels.wide_instructions_stay_in_their_namespace
           COMMAND ${CMAKE_COMMAND} -D NM=${CMAKE_NM} -D ARCHIVE=$<TARGET_FILE:gs_kernels>
                   -P ${CMAKE_CURRENT_SOURCE_DIR}/kernels/check_symbols.cmake)
endif()
