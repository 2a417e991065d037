// Kubelab is kube-apiserver and kube-controller-manager in one binary: the real Kubernetes API and the real Job controller for tests,
// without containers, kubelet or scheduler. The first argument says which of the two to be; the rest is theirs.
package main

import (
	"fmt"
	"os"

	"k8s.io/component-base/cli"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllers "k8s.io/kubernetes/cmd/kube-controller-manager/app"
)

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "kubelab kube-apiserver|kube-controller-manager FLAGS")
		os.Exit(2)
	}
	which := os.Args[1]
	os.Args = append([]string{which}, os.Args[2:]...)
	switch which {
	case "kube-apiserver":
		os.Exit(cli.Run(apiserver.NewAPIServerCommand()))
	case "kube-controller-manager":
		os.Exit(cli.Run(controllers.NewControllerManagerCommand()))
	default:
		fmt.Fprintln(os.Stderr, "kubelab: no such program:", which)
		os.Exit(2)
	}
}
