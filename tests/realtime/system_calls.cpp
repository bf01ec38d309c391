// A child process, and the two ways to detect its system calls.
#include "tests/realtime/system_calls.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <iterator>

namespace coil::test {
namespace {

constexpr int kNotAllowed = 77;

#if defined(__x86_64__)
constexpr uint32_t kArchitecture = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr uint32_t kArchitecture = AUDIT_ARCH_AARCH64;
#else
#error "the filter needs this architecture's name among the AUDIT_ARCH_ values"
#endif

// From here on, every system call but exit_group ends this process. Source: seccomp(2). Check the architecture first,
// because call numbers depend on it.
bool install_filter() {
  sock_filter steps[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, arch)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, kArchitecture, 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
  };
  const sock_fprog program{std::size(steps), steps};
  prctl(PR_SET_DUMPABLE, 0);  // no core files of children that are meant to crash
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

// Stops until the tracer continues, inside the last system call that does not count.
bool invite_tracer() {
  const pid_t self = getpid();
  return ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) == 0 && syscall(SYS_kill, self, SIGSTOP) == 0;
}

// Follows a stopped child to its end or its first system call, and ends it there. Returns the number of that call, or
// -1.
int64_t trace(pid_t child, int& status) {
  ptrace(PTRACE_SETOPTIONS, child, nullptr, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL);
  while (WIFSTOPPED(status)) {
    const int signal = WSTOPSIG(status);
    const bool at_call = signal == (SIGTRAP | 0x80);
    __ptrace_syscall_info info{};
    if (at_call) ptrace(PTRACE_GET_SYSCALL_INFO, child, sizeof info, &info);
    if (info.op == PTRACE_SYSCALL_INFO_ENTRY && info.entry.nr != SYS_exit_group) {
      kill(child, SIGKILL);
      waitpid(child, &status, 0);
      return static_cast<int64_t>(info.entry.nr);
    }
    ptrace(PTRACE_SYSCALL, child, nullptr, at_call || signal == SIGSTOP ? 0 : signal);
    waitpid(child, &status, 0);
  }
  return -1;
}

}  // namespace

std::optional<std::string> system_calls(Watch watch, const std::function<void()>& work) {
  const pid_t child = fork();
  if (child < 0) return std::nullopt;
  if (child == 0) {
    if (!(watch == Watch::filter ? install_filter() : invite_tracer())) _exit(kNotAllowed);
    work();
    syscall(SYS_exit_group, 0);  // a sanitizer's _exit does more
  }
  int status = 0;
  waitpid(child, &status, 0);
  const int64_t call = WIFSTOPPED(status) ? trace(child, status) : -1;
  if (call >= 0) return "system call " + std::to_string(call);
  if (WIFSIGNALED(status)) return "killed by signal " + std::to_string(WTERMSIG(status));
  if (WEXITSTATUS(status) == kNotAllowed) return std::nullopt;
  return WEXITSTATUS(status) == 0 ? "" : "exit status " + std::to_string(WEXITSTATUS(status));
}

}  // namespace coil::test
