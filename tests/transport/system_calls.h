// Notices system calls of the calling thread, by the kernel's syscall user dispatch (Linux 5.11,
// Documentation/admin-guide/syscall-user-dispatch.rst).
#pragma once

namespace muster::test {

// While it lives, a thread can watch itself. One a thread at a time.
class SystemCalls {
 public:
  SystemCalls();
  ~SystemCalls();
  SystemCalls(const SystemCalls&) = delete;
  SystemCalls& operator=(const SystemCalls&) = delete;

  static bool can_be_noticed();  // does this kernel have it?

  // Whether `work` makes any. What it calls is carried out all the same.
  template <typename Work>
  bool made_by(Work work) const {
    begin();
    work();
    return end();
  }

 private:
  static void begin() noexcept;
  static bool end() noexcept;
};

}  // namespace muster::test
