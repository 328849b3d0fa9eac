// The pion peer of the bench: one H.264 clip, paced at 30 frames per second, one shared sample track, any number of viewers.
//
//	usage: pion-peer -clip FILE
//
// Prints "ready PORT" once it answers POST /whep (SDP offer in, SDP answer out).
package main

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"github.com/pion/webrtc/v3"
	"github.com/pion/webrtc/v3/pkg/media"
)

const framesPerSecond = 30

// accessUnits cuts an Annex-B file at every first slice of a picture (first_mb_in_slice 0 is a leading 1 bit).
func accessUnits(file string) [][]byte {
	data, err := os.ReadFile(file)
	if err != nil {
		log.Fatal(err)
	}
	startCode := []byte{0, 0, 1}
	var units [][]byte
	begin, hasPicture := 0, false
	for at := bytes.Index(data, startCode); at >= 0; {
		kind := data[at+3] & 0x1f
		picture := kind == 1 || kind == 5
		if hasPicture && (!picture || data[at+4]&0x80 != 0) {
			cut := at
			if data[cut-1] == 0 {
				cut--
			}
			units = append(units, data[begin:cut])
			begin, hasPicture = cut, false
		}
		hasPicture = hasPicture || picture
		next := bytes.Index(data[at+3:], startCode)
		if next < 0 {
			break
		}
		at += 3 + next
	}
	return append(units, data[begin:])
}

// pace calls send for every frame when it is due; setting restart makes the next frame the clip's first (an IDR).
func pace(units [][]byte, restart *int32, send func(unit []byte)) {
	ticker := time.NewTicker(time.Second / framesPerSecond)
	for index := 0; ; index++ {
		<-ticker.C
		if atomic.CompareAndSwapInt32(restart, 1, 0) || index == len(units) {
			index = 0
		}
		send(units[index])
	}
}

func main() {
	clip := flag.String("clip", "", "Annex-B H.264 file")
	flag.Parse()
	units := accessUnits(*clip)

	track, err := webrtc.NewTrackLocalStaticSample(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeH264}, "video", "bench")
	if err != nil {
		log.Fatal(err)
	}
	var restart int32
	http.HandleFunc("/whep", func(response http.ResponseWriter, request *http.Request) {
		response.Header().Set("Access-Control-Allow-Origin", "*")
		offer, err := io.ReadAll(request.Body)
		if err != nil {
			return
		}
		answer, err := answerTo(string(offer), track, &restart)
		if err != nil {
			http.Error(response, err.Error(), http.StatusBadRequest)
			return
		}
		response.Header().Set("Content-Type", "application/sdp")
		response.WriteHeader(http.StatusCreated)
		fmt.Fprint(response, answer)
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	go func() { log.Fatal(http.Serve(listener, nil)) }()
	fmt.Println("ready", listener.Addr().(*net.TCPAddr).Port)
	pace(units, &restart, func(unit []byte) {
		_ = track.WriteSample(media.Sample{Data: unit, Duration: time.Second / framesPerSecond})
	})
}

func answerTo(offer string, track webrtc.TrackLocal, restart *int32) (string, error) {
	peer, err := webrtc.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		return "", err
	}
	sender, err := peer.AddTrack(track)
	if err != nil {
		return "", err
	}
	go func() { // interceptors (NACK responder, reports) work only while somebody reads the RTCP
		buffer := make([]byte, 1500)
		for {
			if _, _, err := sender.Read(buffer); err != nil {
				return
			}
		}
	}()
	peer.OnConnectionStateChange(func(state webrtc.PeerConnectionState) {
		switch state {
		case webrtc.PeerConnectionStateConnected:
			atomic.StoreInt32(restart, 1)
		case webrtc.PeerConnectionStateDisconnected, webrtc.PeerConnectionStateFailed:
			_ = peer.Close()
		}
	})
	if err := peer.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: offer}); err != nil {
		return "", err
	}
	answer, err := peer.CreateAnswer(nil)
	if err != nil {
		return "", err
	}
	gathered := webrtc.GatheringCompletePromise(peer)
	if err := peer.SetLocalDescription(answer); err != nil {
		return "", err
	}
	<-gathered
	return peer.LocalDescription().SDP, nil
}
