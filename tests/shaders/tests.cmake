# The embedded shaders as SPIR-V.
if(TARGET gs_kernels AND TARGET gs_gpu)
  find_package(Python3 REQUIRED COMPONENTS Interpreter)
  add_test(NAME shaders.are_valid COMMAND Python3::Interpreter -B ${CMAKE_CURRENT_LIST_DIR}/spirv_test.py
                                          ${PROJECT_BINARY_DIR}/shaders)
  set_tests_properties(shaders.are_valid PROPERTIES SKIP_RETURN_CODE 77)
endif()
