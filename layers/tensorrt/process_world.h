// Whether this process has other ranks to gather with.
#pragma once

namespace muster::tensorrt {

// Did a launcher start this process?
bool launched();

}  // namespace muster::tensorrt
