// Follows job statuses over NATS: every status once, in order, also over restarts. Only reads.
//
//	CTRLPLANE_NATS_URL=nats://127.0.0.1:4222 CTRLPLANE_NATS_USER=subscriber CTRLPLANE_NATS_PASSWORD=... \
//	    go run . 'ctrlplane.status.acme.>' [STATE_FILE]
//
// Prints one JSON document per line. The state file keeps the sequence of the last one; without it everything that the
// stream keeps comes first.
package main

import (
	"fmt"
	"log"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

const directGet = "$JS.API.DIRECT.GET.STATUS"

// News wakes us; what a lost connection swallowed is found by looking this often.
const lookAgain = 5 * time.Second

func main() {
	log.SetFlags(0)
	if len(os.Args) < 2 {
		log.Fatal("usage: subscribe SUBJECT [STATE_FILE]")
	}
	subject, state, last := os.Args[1], "", uint64(0)
	if len(os.Args) > 2 {
		state = os.Args[2]
		if text, err := os.ReadFile(state); err == nil {
			if last, err = strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64); err != nil {
				log.Fatal(err)
			}
		}
	}
	// For tests: end after so many.
	count, counted := strconv.Atoi(os.Getenv("SUBSCRIBE_COUNT"))
	client, err := nats.Connect(os.Getenv("CTRLPLANE_NATS_URL"),
		nats.UserInfo(os.Getenv("CTRLPLANE_NATS_USER"), os.Getenv("CTRLPLANE_NATS_PASSWORD")),
		nats.CustomInboxPrefix("_INBOX_subscriber"),
		nats.MaxReconnects(-1), nats.RetryOnFailedConnect(true))
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	news := make(chan struct{}, 1)
	_, err = client.Subscribe(subject, func(*nats.Msg) {
		select {
		case news <- struct{}{}:
		default:
		}
	})
	if err != nil {
		log.Fatal(err)
	}
	for told := 0; counted != nil || told < count; {
		next := fmt.Sprintf(`{"seq":%d,"next_by_subj":%q}`, last+1, subject)
		answer, err := client.Request(directGet, []byte(next), 5*time.Second)
		if err != nil {
			// The connection comes back by itself; what was missed is read then.
			log.Printf("reading again: %v", err)
			time.Sleep(time.Second)
			continue
		}
		sequence := answer.Header.Get("Nats-Sequence")
		if sequence == "" {
			select {
			case <-news:
			case <-time.After(lookAgain):
			}
			continue
		}
		if last, err = strconv.ParseUint(sequence, 10, 64); err != nil {
			log.Fatal(err)
		}
		// A job's last word where it stood before: the same news stands where it is now.
		if answer.Header.Get("Ctrlplane-Moved-To") == "" {
			fmt.Println(string(answer.Data))
			told++
		}
		if state != "" {
			if err := os.WriteFile(state, []byte(strconv.FormatUint(last, 10)), 0o600); err != nil {
				log.Fatal(err)
			}
		}
	}
}
