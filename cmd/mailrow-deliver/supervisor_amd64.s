//go:build linux

#include "textflag.h"

// System calls and constants of linux/amd64.
#define SYS_rt_sigaction 13
#define SYS_rt_sigprocmask 14
#define SYS_fork 57
#define SYS_wait4 61
#define SYS_kill 62
#define SYS_getpid 39
#define SYS_fcntl 72
#define SYS_getppid 110
#define SYS_rt_sigtimedwait 128
#define SYS_prctl 157
#define SYS_exit_group 231
#define SIGKILL 9
#define SIGCHLD 17
#define SIG_BLOCK 0
#define SIG_SETMASK 2
#define WNOHANG 1
#define PR_SET_PDEATHSIG 1
#define F_GETFD 1
#define ENOSYS 38

// All signals but SIGTSTP, SIGTTIN and SIGTTOU, by which a terminal stops parent
// and child together.
#define FORWARDED ~0x380000

// Exit statuses that the child may end with; see package deliver.
#define EX_OK 0
#define EX_NOUSER 67
#define EX_UNAVAILABLE 69
#define EX_TEMPFAIL 75

// The stack: SP is as the kernel left it, pointing at argc, and is given to the
// runtime like that. Below it:
//   -256 signal mask at the start    -248 signals to forward
//   -240 status of the child         -232 a zeroed struct sigaction
#define FRAME 256

TEXT mailrow_entry(SB),NOSPLIT|NOFRAME,$0
	MOVQ SP, R12
	SUBQ $FRAME, SP

	// Go opens /dev/null where standard input is closed, and would store an
	// empty mail.
	XORQ DI, DI
	MOVQ $F_GETFD, SI
	MOVQ $SYS_fcntl, AX
	SYSCALL
	TESTQ AX, AX
	JL tempfail

	// Block the signals: the parent takes them one by one.
	MOVQ $FORWARDED, AX
	MOVQ AX, 8(SP)
	MOVQ $SIG_BLOCK, DI
	LEAQ 8(SP), SI
	LEAQ 0(SP), DX
	MOVQ $8, R10
	MOVQ $SYS_rt_sigprocmask, AX
	SYSCALL

	// A caller that ignores SIGCHLD would have the child's status thrown away.
	XORQ AX, AX
	MOVQ AX, 24(SP)
	MOVQ AX, 32(SP)
	MOVQ AX, 40(SP)
	MOVQ AX, 48(SP)
	MOVQ $SIGCHLD, DI
	LEAQ 24(SP), SI
	XORQ DX, DX
	MOVQ $8, R10
	MOVQ $SYS_rt_sigaction, AX
	SYSCALL

	MOVQ $SYS_getpid, AX
	SYSCALL
	MOVQ AX, R13
	MOVQ $SYS_fork, AX
	SYSCALL
	TESTQ AX, AX
	JZ child
	JG parent
	// No process to be had: there would be no thread either, and Go's runtime
	// would exit with 2. Where fork is not known, run without a supervisor.
	CMPQ AX, $-ENOSYS
	JEQ start
	JMP tempfail

parent:
	MOVQ AX, R14

wait:
	LEAQ 8(SP), DI
	XORQ SI, SI
	XORQ DX, DX
	MOVQ $8, R10
	MOVQ $SYS_rt_sigtimedwait, AX
	SYSCALL
	TESTQ AX, AX
	JLE wait
	CMPQ AX, $SIGCHLD
	JEQ reap
	MOVQ R14, DI
	MOVQ AX, SI
	MOVQ $SYS_kill, AX
	SYSCALL
	JMP wait

reap:
	MOVQ R14, DI
	LEAQ 16(SP), SI
	MOVQ $WNOHANG, DX
	XORQ R10, R10
	MOVQ $SYS_wait4, AX
	SYSCALL
	CMPQ AX, R14
	JNE wait
	MOVL 16(SP), DI
	TESTL $0x7f, DI
	JNZ tempfail // killed by a signal
	SHRL $8, DI
	ANDL $0xff, DI
	CMPL DI, $EX_OK
	JEQ exit
	CMPL DI, $EX_NOUSER
	JEQ exit
	CMPL DI, $EX_UNAVAILABLE
	JEQ exit
tempfail:
	MOVL $EX_TEMPFAIL, DI
exit:
	MOVQ $SYS_exit_group, AX
	SYSCALL
	INT $3

child:
	MOVQ $PR_SET_PDEATHSIG, DI
	MOVQ $SIGKILL, SI
	MOVQ $SYS_prctl, AX
	SYSCALL
	// The parent may have died before that.
	MOVQ $SYS_getppid, AX
	SYSCALL
	CMPQ AX, R13
	JNE tempfail
	MOVB $1, ·supervised(SB)

start:
	MOVQ $SIG_SETMASK, DI
	LEAQ 0(SP), SI
	XORQ DX, DX
	MOVQ $8, R10
	MOVQ $SYS_rt_sigprocmask, AX
	SYSCALL
	MOVQ R12, SP
	JMP _rt0_amd64_linux(SB)
