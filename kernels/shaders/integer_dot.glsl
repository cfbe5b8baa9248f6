// The sum of the products of the four int8 in two words: OpSDot, which glslc has no function for. The
// literal 0 says that the words hold four bytes (PackedVectorFormat4x8Bit).
#extension GL_EXT_spirv_intrinsics : require

spirv_instruction(extensions = ["SPV_KHR_integer_dot_product"], capabilities = [6018, 6019],
                  id = 4450)
int SignedDot(uint a, uint b, spirv_literal int format);

int SignedDot4(uvec4 a, uvec4 b) {
  return SignedDot(a.x, b.x, 0) + SignedDot(a.y, b.y, 0) + SignedDot(a.z, b.z, 0) +
         SignedDot(a.w, b.w, 0);
}
